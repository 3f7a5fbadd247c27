"""
Replays parts of the sessions on a Dask cluster: an existing one, or one of this machine that ends with the command.

Rule of this file: a task gets sessions and returns sums. Dask does the task of a lost worker again, once; if that worker is lost
too, it is an error. Dask is imported when it is used.

A cluster of this machine listens on loopback, where every user can connect, and whoever talks to a scheduler can run code. So
it uses TLS with certificates that are made for it and are kept in memory.

Source: https://distributed.dask.org (distributed 2026.8.0).
"""

import logging
import pickle
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from importlib.metadata import PackageNotFoundError, version
from socket import gethostname
from typing import Any

from savemode_cli.core.errors import BadInput
from savemode_cli.core.money.pricing import PriceTable
from savemode_cli.readers.processes import safe_path
from savemode_cli.readers.sessions import Rates, ReplayedGroup, Work, replay_part
from savemode_cli.readers.transcript_files import Group

_PART_BYTES = 16 * 1024 * 1024
"""
The size of a part: what is done again if a worker is lost, and, with what it becomes in memory, what a worker needs.
"""
_CONNECT_S = 15
_SCHEMES = {"dask": "tcp", "dask+tls": "tls"}
_SAME = ("savemode-cli", "msgspec")
"""The packages of which a worker must have the same version, so that its results are those of this machine."""


class DaskCluster:
    """
    A Dask cluster.
    """

    def __init__(self, address: str, jobs: int) -> None:
        """
        Args:
            address: `dask://HOST:PORT` or `dask+tls://HOST:PORT` of a scheduler; `dask` for a cluster of this machine.
            jobs: how many workers a cluster of this machine has.

        Raises:
            BadInput: it is not such an address, or Dask is not installed.
        """
        scheme, separator, place = address.partition("://")
        if scheme not in _SCHEMES or bool(separator) != bool(place) or (scheme != "dask" and not separator):
            raise BadInput(
                f"--executor is {address!r}", hint="give processes, dask, dask://HOST:PORT or dask+tls://HOST:PORT"
            )
        try:
            import cryptography  # noqa: F401, PLC0415 - an extra
            import distributed  # noqa: F401, PLC0415 - the same
        except ImportError:
            raise BadInput(f"--executor {address} needs Dask", hint="pipx install 'savemode-cli[fleet]'") from None
        self._address = f"{_SCHEMES[scheme]}://{place}" if place else ""
        self._jobs = jobs

    def parts(self, total_bytes: int) -> int:
        """
        Into how many parts the sessions are divided.
        """
        return max(self._jobs * 4, total_bytes // _PART_BYTES)

    def replay(self, work: Work, parts: Sequence[Sequence[Group]]) -> Iterator[tuple[int, list[ReplayedGroup]]]:
        """
        Replay each part on one of the workers.

        Raises:
            BadInput: the scheduler does not answer, a worker cannot do the work, or two workers were lost with the same part.
        """
        from distributed import as_completed  # noqa: PLC0415 - an extra

        task = Task(pickle.dumps(_with_tables(work)), _versions(), has_own_files=bool(self._address))
        with self._client() as client:
            futures = {client.submit(task, list(part), pure=False): number for number, part in enumerate(parts)}
            for future in as_completed(list(futures), loop=client.loop):
                if future.status != "finished":
                    raise _failure(future.exception())
                yield futures.pop(future), future.result()

    @contextmanager
    def _client(self) -> Iterator[Any]:
        import dask.config  # noqa: PLC0415 - an extra
        from distributed import Client  # noqa: PLC0415 - the same

        logging.getLogger("distributed").setLevel(logging.CRITICAL)
        if self._address:
            try:
                client = Client(self._address, timeout=_CONNECT_S, set_as_default=False)
            except (OSError, ValueError, TimeoutError) as error:
                raise BadInput(
                    f"cannot connect to the Dask scheduler at {self._address}: {error}", hint="check its address"
                ) from None
            with client:
                if not client.scheduler_info()["workers"]:
                    raise BadInput(f"the Dask cluster at {self._address} has no workers", hint="start some workers")
                yield client
            return
        with (
            safe_path(),
            dask.config.set(_LOCAL_CONFIG),
            self._local_cluster() as cluster,
            Client(cluster, set_as_default=False) as client,
        ):
            yield client

    def _local_cluster(self) -> Any:
        from distributed import LocalCluster  # noqa: PLC0415 - an extra

        return LocalCluster(
            n_workers=self._jobs,
            threads_per_worker=1,
            processes=True,
            host="127.0.0.1",
            dashboard_address="127.0.0.1:0",
            worker_dashboard_address="127.0.0.1:0",
            security=True,
            silence_logs=logging.CRITICAL,
        )


_LOCAL_CONFIG = {"distributed.scheduler.allowed-failures": 1}


def _with_tables(work: Work) -> Work:
    """
    The work with its price tables instead of the files from which they are read: a worker may not have these files.
    """
    listed = None if work.list_prices is None else partial(_itself, work.list_prices())
    return replace(work, prices=partial(_itself, work.prices()), list_prices=listed)


def _itself(table: PriceTable) -> PriceTable:
    return table


def _versions() -> dict[str, str]:
    return {name: _version(name) for name in _SAME}


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "unknown"


@dataclass(frozen=True, slots=True)
class Task:
    """
    What a worker does with a part.
    """

    work: bytes
    """The work, pickled: a worker unpickles it once for all parts."""
    versions: dict[str, str]
    """The versions that a worker must have."""
    has_own_files: bool
    """Whether the worker may be another machine, where a path may lead to another file or to none."""

    def __call__(self, groups: Sequence[Group]) -> list[ReplayedGroup]:
        """
        Replay the sessions of a part.

        Raises:
            BadInput: this worker has other versions, or does not have the files.
        """
        if _versions() != self.versions:
            raise BadInput(f"a worker on {gethostname()} has {_versions()}, and this machine has {self.versions}")
        for source in (source for group in groups for source in group.sources if self.has_own_files):
            if not source.path.is_file() or source.path.stat().st_size < source.bytes:
                raise BadInput(f"a worker on {gethostname()} does not have the file {source.path}")
        return replay_part(groups, *_unpickled(self.work))


@lru_cache(maxsize=1)
def _unpickled(data: bytes) -> tuple[Work, Rates]:
    work: Work = pickle.loads(data)  # noqa: S301 - from our own client; Dask unpickles the task itself too
    return work, work.rates()


def _failure(error: BaseException) -> BaseException:
    """
    What to report of an error of a task.
    """
    match type(error).__name__:
        case "KilledWorker":
            return BadInput(
                "two workers ended while they read the same files",
                hint="they may have run out of memory: replay fewer files, or use `--jobs` instead of --executor",
            )
        case "BadInput":
            return BadInput(
                str(error), hint="install the same version on all workers, and use paths that all of them have"
            )
        case "ModuleNotFoundError":
            return BadInput(
                f"a worker cannot import what it needs: {error}", hint="install savemode-cli on all workers"
            )
    return error
