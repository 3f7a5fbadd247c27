"""
The verdicts of running proxies, read from their last exchanges.

Rule of this file: a proxy of another version may answer. What cannot be read is ignored.
"""

from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path

import msgspec
from msgspec import Struct

from savemode_cli.core.cache.lifetimes import Lifetime
from savemode_cli.core.diagnosis.causes import Cause, Miss, Verdict, path_of_json
from savemode_cli.core.diagnosis.difference import ChangeKind
from savemode_cli.core.diagnosis.report import Diagnosed
from savemode_cli.core.wire.diagnostics import CacheDiagnosis
from savemode_cli.serving.running import exchanges_of, running_proxies


class _Miss(Struct):
    cause: Cause
    missed_tokens: int
    cost_nusd: int
    at: str | None = None
    change: ChangeKind | None = None
    type: str | None = None
    values_only: bool = False
    parameter: str | None = None
    before: str | None = None
    after: str | None = None
    positions: int | None = None
    idle_s: float | None = None
    ttl: Lifetime | None = None

    def value(self) -> Miss:
        return Miss(
            self.cause,
            self.missed_tokens,
            path_of_json(self.at or ""),
            self.change,
            self.type or "",
            values_only=self.values_only,
            parameter=self.parameter or "",
            before=self.before or "",
            after=self.after or "",
            positions=self.positions,
            idle=None if self.idle_s is None else timedelta(seconds=self.idle_s),
            ttl=self.ttl,
            cost_nusd=self.cost_nusd,
        )


class _Verdict(Struct):
    expected_tokens: int
    read_tokens: int
    compared_with: str | None = None
    misses: tuple[_Miss, ...] = ()

    def value(self) -> Verdict:
        misses = tuple(miss.value() for miss in self.misses)
        return Verdict(self.expected_tokens, self.read_tokens, misses, self.compared_with or "")


class _Exchange(Struct):
    id: str
    started_at: datetime
    verdict: _Verdict
    session: str | None = None
    model: str | None = None
    cost_nusd: int | None = None
    api_diagnosis: CacheDiagnosis | None = None


def running_misses(folder: Path, token: str | None = None) -> Iterator[Diagnosed]:
    """
    The judged exchanges that the running proxies still list.

    Args:
        folder: the folder in which proxies register.
        token: the access token, if this user has configured one.
    """
    for proxy in running_proxies(folder):
        for fields in exchanges_of(proxy, token):
            with suppress(msgspec.ValidationError):
                exchange = msgspec.convert(fields, _Exchange)
                session = exchange.session or ""
                yield Diagnosed(
                    exchange.id,
                    session,
                    exchange.model or "",
                    exchange.started_at,
                    exchange.verdict.value(),
                    exchange.cost_nusd or 0,
                    session,
                    diagnosis=exchange.api_diagnosis,
                )
