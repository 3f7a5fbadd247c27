"""
Flags, files and environment, merged into one `Settings`.

Rule of this file: of two sources of a value the nearer one wins. The order, the nearest first: flags, `--config FILE`,
environment, `./savemode.toml`, the user's config folder, defaults. Of a `./savemode.toml` that is not trusted only harmless
options have an effect: see `trust`.
"""

import difflib
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from savemode_cli.config.budgets import check_action, check_fractions, check_token_scopes, further_budgets, set_at_us
from savemode_cli.config.environment import ENVIRONMENT, OTHER_VARIABLES, variable_layers
from savemode_cli.config.folders import user_config
from savemode_cli.config.options import OPTIONS
from savemode_cli.config.products import merged_products
from savemode_cli.config.settings import Settings
from savemode_cli.config.sources import Layer, Untrusted, absolute, file_layer, folder_layer
from savemode_cli.config.tokens import merged_tokens
from savemode_cli.config.trust import FILE_NAME
from savemode_cli.core.budget.budget import DEFAULT_BUDGET, Budget
from savemode_cli.core.errors import ConfigError
from savemode_cli.core.upgrade.policy import SAVE_POLICY
from savemode_cli.core.wire.access_tokens import NO_TOKENS
from savemode_cli.core.wire.products import PRODUCTS

FLAG = "flag"
"""The name of the source that the command line is."""


class Faults:
    """
    What happens to an error: it is raised, or it is collected and the value is left out.
    """

    def __init__(self, collected: list[ConfigError] | None) -> None:
        """
        Args:
            collected: takes the errors; None to raise them.
        """
        self._collected = collected

    @contextmanager
    def collect(self) -> Iterator[None]:
        """
        Collect an error of the block, or let it be raised.
        """
        try:
            yield
        except ConfigError as error:
            if self._collected is None:
                raise
            self._collected.append(error)


def load(
    flags: Mapping[str, Any],
    environ: Mapping[str, str] | None = None,
    *,
    config: Path | None = None,
    folder: Path | None = None,
    user_folder: Path | None = None,
    faults: list[ConfigError] | None = None,
) -> Settings:
    """
    Merge all sources.

    Args:
        flags: what the command line gives, by the names of options; a flag that is None was not given.
        environ: the variables; by default those of this process.
        config: the file of `--config`.
        folder: where `./savemode.toml` is looked for; for tests.
        user_folder: where the user's own file is looked for; for tests.
        faults: takes the errors in place of raising them. Values with errors are left out, so that `doctor` can check the
            others.

    Raises:
        ConfigError: naming the source, the option, what was found and what is allowed.
    """
    collector = Faults(faults)
    own_folder = user_folder or user_config()
    given = [Layer(FLAG, {name: value for name, value in flags.items() if value is not None})]
    with collector.collect():
        given += [] if config is None else [file_layer(config, must_exist=True)]
    given += variable_layers(os.environ if environ is None else environ)
    layers, untrusted = _with_files(given, folder or Path(), own_folder, collector)
    merged, sources = _merged(layers, collector)
    merged |= _implied(merged, sources, layers)
    places = {name: _place(source, name) for name, source in sources.items()}
    merged |= _combined(merged, places, layers, collector)
    merged["tokens"] = NO_TOKENS
    with collector.collect():
        merged["tokens"] = merged_tokens(layers, own_folder)
    settings = Settings(
        **_fields(merged),
        budget_set_at_us=set_at_us(sources["budget"]) if "budget" in places else 0,
        budget_source=places.get("budget", ""),
        run_budget_set_at_us=set_at_us(sources["run_budget"]) if "run_budget" in places else 0,
        run_budget_source=places.get("run_budget", ""),
        files=tuple(file for layer in layers if layer.is_file and (file := layer.decided(sources)).options),
        untrusted=untrusted,
        upstream_from=places.get("upstream", "").removesuffix(": upstream"),
    )
    with collector.collect():
        check_token_scopes(settings.budgets(), settings.tokens)
    return settings


def check_table(table: Mapping[str, Any], path: str) -> None:
    """
    Check the content of a config file by itself.

    Raises:
        ConfigError: naming the file, the option, what was found and what is allowed.
    """
    layers, strictly = [Layer(path, dict(table), is_file=True)], Faults(None)
    merged, _ = _merged(layers, strictly)
    _combined(merged, {name: _place(path, name) for name in table}, layers, strictly)
    merged_tokens(layers, None)


def _with_files(
    given: Sequence[Layer], folder: Path, user_folder: Path | None, collector: Faults
) -> tuple[list[Layer], Untrusted | None]:
    """
    The sources with the two files that are looked for, the nearest first; and what of the folder's file is ignored.

    Args:
        given: the sources that are nearer than these files.
        folder: the working directory.
        user_folder: the user's config folder; None where it is not known.
        collector: takes the error of a file that cannot be read.
    """
    users: list[Layer] = []
    with collector.collect():
        users += [] if user_folder is None else [file_layer(user_folder / FILE_NAME)]
    here, untrusted = None, None
    named = [absolute(Path(layer.source)) for layer in (*given, *users) if layer.is_file]
    if absolute(folder / FILE_NAME) not in named:
        # A file that the person named, or that is the person's own, needs no trust.
        with collector.collect():
            here, untrusted = folder_layer(folder / FILE_NAME, [*given, *users])
    return [*given, *([] if here is None else [here]), *users], untrusted


def _merged(layers: Sequence[Layer], collector: Faults) -> tuple[dict[str, Any], dict[str, str]]:
    """
    The checked value of each option that somebody gave, and its source. What cannot be used is removed from its layer.
    """
    merged: dict[str, Any] = {}
    sources: dict[str, str] = {}
    for layer in reversed(layers):
        for name, value in tuple(layer.table.items()):
            del layer.table[name]
            with collector.collect():
                merged[name] = _checked(layer.source, name, value)
                sources[name] = layer.source
                layer.table[name] = value
    return merged, sources


def _implied(merged: Mapping[str, Any], sources: Mapping[str, str], layers: Sequence[Layer]) -> dict[str, Any]:
    """
    What `save` stands for, where no source gives it that is as near as the one that gives `save`.
    """
    if not merged.get("save"):
        return {}
    order = [layer.source for layer in layers]
    nearest = order.index(sources["save"])
    implied = {"debug": True, "ttl_policy": SAVE_POLICY}
    return {
        name: value for name, value in implied.items() if name not in sources or order.index(sources[name]) > nearest
    }


def _combined(
    merged: dict[str, Any], places: Mapping[str, str], layers: Sequence[Layer], collector: Faults
) -> dict[str, Any]:
    """
    The options whose values follow from several others, or from the tables of several files.
    """
    products = PRODUCTS
    with collector.collect():
        products = merged_products(merged.get("product"), [layer.table for layer in reversed(layers)])
    combined: dict[str, Any] = {"products": products, "aliases": products.aliases, "product": products.default}
    with collector.collect():
        try:
            check_fractions(merged, places)
        except ConfigError:
            merged.pop("warn_at", None)
            merged.pop("engage_at", None)
            raise
    with collector.collect():
        try:
            check_action(merged, places)
        except ConfigError:
            merged.pop("budget_action", None)
            raise
    combined["budgets"] = ()
    with collector.collect():
        combined["budgets"] = _further(merged, places, layers)
    return combined


def _further(merged: Mapping[str, Any], places: Mapping[str, str], layers: Sequence[Layer]) -> tuple[Budget, ...]:
    """
    The budgets of the tables.
    """
    tables = [(layer.source, {**layer.table.get("budgets", {}), **layer.budgets}) for layer in layers]
    renamed = {name: option for layer in layers for name, option in layer.renamed.items()}
    further = further_budgets(merged, places, tables, renamed)
    if (
        renamed
        and not {"budget", "run_budget"} & merged.keys()
        and not any(layer.table.get("budgets") for layer in layers)
    ):
        # Where the person has no budget, spend is counted all the same, for one that is set later; that must go on.
        return (Budget(DEFAULT_BUDGET, 0), *further)
    return further


def _fields(merged: Mapping[str, Any]) -> dict[str, Any]:
    """
    The values by the fields of `Settings`; those of options that have no field are together in `others`.
    """
    fields = {OPTIONS[name].attribute: value for name, value in merged.items() if OPTIONS[name].attribute}
    others = {name: value for name, value in merged.items() if not OPTIONS[name].attribute}
    return {**fields, "others": others}


def _place(source: str, name: str) -> str:
    """
    An option as the person who gave it spelled it.
    """
    option = OPTIONS.get(name)
    if source == FLAG:
        return option.flag if option is not None else f"--{name.replace('_', '-')}"
    if source == OTHER_VARIABLES and option is not None:
        return option.other_variables[0]
    return f"SAVEMODE_{name.upper()}" if source == ENVIRONMENT else f"{source}: {name}"


def _checked(source: str, name: str, value: object) -> Any:
    place = _place(source, name)
    if name not in OPTIONS:
        near = difflib.get_close_matches(name, OPTIONS, n=1)
        hint = f"did you mean {near[0]}?" if near else f"options: {', '.join(sorted(OPTIONS))}"
        raise ConfigError(f"{place}: there is no such option", hint=hint)
    return OPTIONS[name].checked(place, value)
