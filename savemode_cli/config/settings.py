"""
The settings of one process: every option with its value, and what follows from several of them.

Rule of this file: it reads no source. `savemode_cli.config.loading` makes the settings.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from savemode_cli.config import addresses, values
from savemode_cli.config.folders import user_data, user_state
from savemode_cli.config.options.address import AddressOptions
from savemode_cli.config.options.alerts import AlertOptions
from savemode_cli.config.options.budget import BudgetOptions
from savemode_cli.config.options.captures import CaptureOptions
from savemode_cli.config.options.guard import GuardOptions
from savemode_cli.config.options.output import OutputOptions
from savemode_cli.config.options.telemetry import TelemetryOptions
from savemode_cli.config.options.upgrade import UpgradeOptions
from savemode_cli.config.sources import ConfigFile, Untrusted
from savemode_cli.core.budget.budget import DEFAULT_BUDGET, RUN_BUDGET, Budget
from savemode_cli.core.budget.choices import RefusalChoice
from savemode_cli.core.budget.window import Window
from savemode_cli.core.errors import ConfigError, reason
from savemode_cli.core.upgrade.policy import Policy
from savemode_cli.core.upgrade.rules import switched_rules

LEDGER_NAME = "ledger.sqlite3"
AUTO_NAME = "auto.json"
TRIAL_NAME = "trial.jsonl"
TTL_KEY_NAME = "ttl-key.json"


@dataclass(frozen=True, kw_only=True)
class Settings(
    UpgradeOptions,
    BudgetOptions,
    GuardOptions,
    AlertOptions,
    AddressOptions,
    TelemetryOptions,
    CaptureOptions,
    OutputOptions,
):
    """
    The value of every option, checked. Times are seconds, and amounts are nano-dollars.
    """

    others: Mapping[str, object] = field(default_factory=lambda: MappingProxyType({}))
    """The values of options that are no field of this class, by name: those that were added to the table from outside."""

    budget_set_at_us: int = field(default=0, compare=False)
    """When the budget named default was set, in microseconds since 1970."""

    run_budget_set_at_us: int = field(default=0, compare=False)
    """When the budget of a run was set, in microseconds since 1970."""

    run_budget_source: str = field(default="", compare=False)
    """Where the budget of a run was set, for people."""

    budget_source: str = field(default="", compare=False)
    """Where the budget named default was set; empty where it was not."""

    files: tuple[ConfigFile, ...] = field(default=(), compare=False)
    """The config files that decided something, the nearest first."""

    untrusted: Untrusted | None = field(default=None, compare=False)
    """The file of the working directory, if some of it is ignored."""

    upstream_from: str = field(default="", compare=False)
    """Who named the upstream: a flag, a variable or a file; empty if nobody did."""

    @property
    def is_simulated(self) -> bool:
        """
        Whether no request leaves this process.
        """
        return self.upstream == addresses.SIMULATED

    @property
    def ledger_url(self) -> str:
        """
        The address of the ledger. If none is named, it is a file in the user's data folder, or for a simulated upstream a
        ledger in memory, because what a simulated upstream bills is not real money.
        """
        if self.ledger is not None:
            return self.ledger
        return "memory:" if self.is_simulated else _user_ledger()

    def password_of_ledger(self) -> str | None:
        """
        The password for the server of the ledger; None without one.

        Raises:
            ConfigError: its file cannot be read, or holds none.
        """
        if self.ledger_password is not None or self.ledger_password_file is None:
            return self.ledger_password
        file = self.ledger_password_file
        try:
            text = file.read_text(encoding="utf-8").strip("\r\n")
            return values.password(text)
        except OSError as error:
            raise ConfigError(f"ledger_password_file: cannot read {file}: {reason(error)}") from None
        except ValueError:
            raise ConfigError(f"ledger_password_file: {file} must hold a password on one line") from None

    @property
    def uses_own_ledger(self) -> bool:
        """
        Whether the ledger is the one in the user's data folder, which every command uses if none is named.
        """
        return self.ledger_url == _user_ledger()

    @property
    def ledger_id(self) -> str:
        """
        A hash of the ledger's address, by which proxies with the same ledger find each other. It is not the address, which
        may hold a password. Empty for a ledger in memory, which nobody shares.
        """
        import hashlib  # noqa: PLC0415 - only where proxies are looked for

        url = self.ledger_url
        if url.startswith("memory:"):
            return ""
        path = url.removeprefix("sqlite:///")
        address = url if path in ("", url) else str(Path(path).expanduser().resolve())
        return hashlib.sha256(address.encode()).hexdigest()[:16]

    @property
    def proxies_folder(self) -> Path:
        """
        The folder in which running proxies are registered.
        """
        return user_data() / "proxies"

    @property
    def alert_claims_folder(self) -> Path:
        """
        The folder in which the processes of this machine claim alerts while their ledger does not answer.
        """
        return user_data() / "alerts"

    @property
    def sends_events(self) -> bool:
        """
        Whether events are sent to PostHog. That needs a key, and the option `telemetry` must not be false. Simulated calls
        are not sent, because PostHog would show them together with real costs.
        """
        return self.telemetry and self.posthog_api_key is not None and not self.is_simulated

    @property
    def asks_flags(self) -> bool:
        """
        Whether PostHog decides on the flag of the gate. It does if it knows for which person.
        """
        return self.sends_events and self.posthog_distinct_id is not None

    @property
    def spool_folder(self) -> Path:
        """
        The folder in which events wait for the next start.
        """
        return user_data() / "telemetry"

    @property
    def auto_file(self) -> Path:
        """
        What the policy `auto` knows of each person; looked up here and not before.
        """
        return user_state() / AUTO_NAME

    @property
    def trial_file(self) -> Path:
        """
        What the sessions of a trial cost; looked up here and not before.
        """
        return user_state() / TRIAL_NAME

    @property
    def ttl_key_file(self) -> Path:
        """
        The verdicts on the key of the cache; looked up here and not before.
        """
        return user_state() / TTL_KEY_NAME

    def budgets(self) -> tuple[Budget, ...]:
        """
        The budgets configured: the one that the plain options describe and that of a run, if they give an amount, then the
        tables'.
        """
        own = () if self.budget_nusd is None else (self.default_budget(self.budget_nusd),)
        return own + self._run_budget() + self.further_budgets

    def _run_budget(self) -> tuple[Budget, ...]:
        if self.run_budget_nusd is None:
            return ()
        budget = Budget(
            RUN_BUDGET,
            self.run_budget_nusd,
            Window("none"),
            scope="run",
            strict=self.strict,
            set_at_us=self.run_budget_set_at_us,
            source=self.run_budget_source,
        )
        return (budget,)

    def default_budget(self, limit_nusd: int) -> Budget:
        """
        The budget that the plain options describe, at some limit.
        """
        return Budget(
            DEFAULT_BUDGET,
            limit_nusd,
            self.budget_window,
            self.budget_zone,
            self.budget_scope,
            self.strict,
            self.warn_at,
            self.engage_at,
            self.budget_allow_override,
            self.budget_refusal_hint,
            self.budget_unknown,
            self.budget_action,
            set_at_us=self.budget_set_at_us,
            source=self.budget_source,
        )

    @property
    def refusal_in_force(self) -> RefusalChoice:
        """
        The status of a refusal. PostHog's gateway, which `compat` reproduces, sends 429 to every client.
        """
        return "429" if self.refusal == "auto" and self.compat == "upstream" else self.refusal

    @property
    def policy(self) -> Policy:
        """
        What savemode may change in a request.
        """
        return Policy(
            ttl=self.ttl_policy,
            compat=self.compat == "upstream",
            allow_bedrock=self.allow_bedrock,
            allow_oauth=self.allow_oauth_edits,
            rules=frozenset(rule.name for rule in switched_rules() if self.others.get(rule.switch)),
        )


def _user_ledger() -> str:
    return f"sqlite:///{user_data() / LEDGER_NAME}"
