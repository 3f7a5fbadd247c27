"""
Savemode beside other proxies, in one interleaved run: nginx, mitmdump, LiteLLM's proxy, a plain pass-through, a pinned
commit of savemode, and the working tree.

Each proxy runs in an environment of its own, which is made in a folder for temporary files and found there again. What
cannot be installed is left out, with the reason. Savemode runs with everything on: upgrades, a budget and its ledger on a
disk, the meter, receipts and request lines. All of them forward to the same upstream on loopback.
"""

import asyncio
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import uvloop

from tests.benchmarks.bodies import agent_body
from tests.benchmarks.builds import PINNED, Build, build_of, working_tree
from tests.benchmarks.client import Client
from tests.benchmarks.instructions import CONNECTIONS, KINDS, REQUESTS, SIZES, bodies_of, burst, upstream
from tests.benchmarks.processes import free_port, python, started
from tests.benchmarks.proxy import Target, request
from tests.benchmarks.tables import columns, fixed, median, note, options, show_json, times

_PATIENCE_S = 180
_INSTALL_S = 600

Command = Callable[[int, int, Path], list[str]]
"""Gives the command of a proxy, from its own port, that of the upstream, and a folder for its files."""


@dataclass(frozen=True, slots=True)
class Peer:
    """
    A proxy that can be started.
    """

    name: str
    command: Command
    environ: Mapping[str, str] = field(default_factory=dict)


def main() -> None:
    """
    Install what can be installed, measure, and print a table.
    """
    parser = options(__doc__)
    parser.add_argument("--against", default=PINNED, metavar="COMMIT", help="the commit of savemode (%(default)s)")
    parser.add_argument("--size", action="append", choices=SIZES, help="only bodies of this size")
    parser.add_argument("--kind", default="growing", choices=KINDS, help="new bodies, or growing conversations")
    parser.add_argument("--without", action="append", default=[], metavar="NAME", help="leave a proxy out")
    chosen = parser.parse_args()
    peers, left_out = found(chosen.without, [build_of(chosen.against), working_tree()])
    sizes = chosen.size or list(SIZES)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        figures = runner.run(measure(peers, chosen.kind, sizes, 4 if chosen.quick else 15))
    if chosen.json:
        show_json({"figures": figures, "left_out": left_out})
    else:
        _print(figures, left_out)


def found(without: Sequence[str], builds: Sequence[Build]) -> tuple[list[Peer], dict[str, str]]:
    """
    The proxies that can be started here, and why the others cannot.
    """
    peers: list[Peer] = []
    left_out: dict[str, str] = {}
    for name, find in (("nginx", _nginx), ("mitmdump", _mitmdump), ("litellm", _litellm), ("plain", _plain)):
        if name in without:
            left_out[name] = "left out on request"
            continue
        one = find()
        if isinstance(one, str):
            left_out[name] = one
        else:
            peers.append(one)
    return peers + [Peer(f"savemode {build.name}", _savemode(build), build.environ) for build in builds], left_out


def _savemode(build: Build) -> Command:
    return lambda port, upstream_port, _folder: build.serve(port, upstream_port)


def _plain() -> Peer:
    def command(port: int, upstream_port: int, _folder: Path) -> list[str]:
        url = f"http://127.0.0.1:{upstream_port}"
        return python("-m", "tests.benchmarks.plain_proxy", "--port", str(port), "--upstream", url)

    return Peer("plain", command)


def _nginx() -> Peer | str:
    program = shutil.which("nginx")
    if program is None:
        return "nginx is not installed"

    def command(port: int, upstream_port: int, folder: Path) -> list[str]:
        config = folder / "nginx.conf"
        config.write_text(_NGINX.format(port=port, upstream=upstream_port, folder=folder))
        return [program, "-p", str(folder), "-c", str(config), "-e", "stderr"]

    return Peer("nginx", command)


_NGINX = """
daemon off; master_process off; worker_processes 1; pid {folder}/nginx.pid; error_log stderr;
events {{ worker_connections 1024; }}
http {{
  access_log {folder}/access.log; client_max_body_size 64m; client_body_buffer_size 2m;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/f;
  uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s; keepalive_requests 1000000;
  upstream api {{ server 127.0.0.1:{upstream}; keepalive 64; keepalive_requests 1000000; }}
  server {{
    listen 127.0.0.1:{port};
    location / {{ proxy_pass http://api; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_buffering off; }}
  }}
}}
"""


def _mitmdump() -> Peer | str:
    program = _installed("mitmproxy", "mitmdump")
    if isinstance(program, str):
        return program

    def command(port: int, upstream_port: int, folder: Path) -> list[str]:
        mode = f"reverse:http://127.0.0.1:{upstream_port}"
        own = ("--set", f"confdir={folder}", "--listen-host", "127.0.0.1", "--listen-port", str(port))
        return [str(program), "--mode", mode, *own]

    return Peer("mitmdump", command)


def _litellm() -> Peer | str:
    program = _installed("litellm[proxy]", "litellm")
    if isinstance(program, str):
        return program

    def command(port: int, upstream_port: int, folder: Path) -> list[str]:
        config = folder / "litellm.yaml"
        target = f"http://127.0.0.1:{upstream_port}/v1/messages"
        config.write_text(
            "general_settings:\n  pass_through_endpoints:\n"
            f'    - path: "/v1/messages"\n      target: "{target}"\n      forward_headers: true\n'
        )
        return [
            str(program),
            "--config",
            str(config),
            "--host",
            "127.0.0.1",
            "--port",
            str(port),
            "--telemetry",
            "False",
        ]

    return Peer("litellm", command, _LITELLM_ENVIRON)


_LITELLM_ENVIRON = {
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",  # or it looks for a newer one on the network
    "LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY": "true",  # it listens on loopback only
}


def _installed(package: str, program: str) -> Path | str:
    """
    The program of a package in an environment of its own; why there is none.
    """
    folder = Path(tempfile.gettempdir(), "savemode-benchmark-builds", program)
    path = folder / "bin" / program
    if path.exists():
        return path
    try:
        for command in (
            [sys.executable, "-m", "venv", str(folder)],
            [str(folder / "bin" / "pip"), "install", "--quiet", package],
        ):
            subprocess.run(command, capture_output=True, text=True, check=True, timeout=_INSTALL_S)
    except subprocess.TimeoutExpired:
        return f"{package} was not installed within {_INSTALL_S} s"
    except subprocess.CalledProcessError as error:
        last = str(error.stderr).strip().splitlines()[-1:] or [str(error)]
        return f"{package} cannot be installed: {last[0][:200]}"
    return path if path.exists() else f"{package} has no program {program}"


async def measure(
    peers: Sequence[Peer], kind: str, sizes: Sequence[str], bursts: int
) -> dict[str, dict[str, dict[str, float]]]:
    """
    By size and proxy: requests per second, and milliseconds of CPU per request. Medians of bursts, which take turns.
    """
    out: dict[str, dict[str, dict[str, float]]] = {}
    with ExitStack() as stack:
        upstream_port = await upstream(stack)
        targets = []
        for peer in peers:
            port = free_port()
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True)))
            process = stack.enter_context(started(peer.command(port, upstream_port, folder), peer.environ))
            targets.append(Target(peer.name, port, process))
            await _ready(targets[-1])
        for size in sizes:
            out[size] = await _measured(targets, kind, SIZES[size], bursts)
    return out


async def _ready(target: Target) -> None:
    """
    Raises:
        SystemExit: the proxy has ended, or forwards nothing within `_PATIENCE_S`.
    """
    assert target.proxy is not None
    asked = request(target.port, agent_body(SIZES["2 KB"]))
    end = time.monotonic() + _PATIENCE_S
    while True:
        target.proxy.check(target.name)
        try:
            client = await Client.connect(target.port)
            await client.ask(asked)
        except (OSError, TimeoutError) as error:
            if time.monotonic() > end:
                raise SystemExit(f"{target.name} is not ready: {error}\n{target.proxy.last_words()}") from None
            await asyncio.sleep(0.2)
        else:
            client.close()
            return


async def _measured(targets: Sequence[Target], kind: str, size: int, bursts: int) -> dict[str, dict[str, float]]:
    bodies = {target.name: bodies_of(kind, size) for target in targets}
    clients = {target.name: [await Client.connect(target.port) for _ in range(CONNECTIONS)] for target in targets}
    took: dict[str, list[tuple[float, float]]] = {target.name: [] for target in targets}
    for number in range(bursts + 2):
        for target in targets:
            assert target.proxy is not None
            cpu, began = target.proxy.cpu_s() or 0, time.monotonic()
            await burst(clients[target.name], target.port, bodies[target.name])
            seconds = time.monotonic() - began
            if number >= 2:  # the first two warm it up
                took[target.name].append((REQUESTS / seconds, ((target.proxy.cpu_s() or 0) - cpu) * 1000 / REQUESTS))
    for each in clients.values():
        for client in each:
            client.close()
    return {
        name: {"requests_per_s": median([rate for rate, _ in values]), "cpu_ms": median([cpu for _, cpu in values])}
        for name, values in took.items()
    }


def _print(figures: dict[str, dict[str, dict[str, float]]], left_out: Mapping[str, str]) -> None:
    for size, by_name in figures.items():
        rows = []
        for name, own in by_name.items():
            against = [
                by_name[other]["requests_per_s"] if other in by_name else None for other in ("mitmdump", "nginx")
            ]
            ratios = [times(own["requests_per_s"], other) for other in against]
            rows.append([name, fixed(own["requests_per_s"], 0), *ratios, fixed(own["cpu_ms"], 3)])
        print(columns(size, ["", "requests/s", "x mitmdump", "x nginx", "CPU ms/request"], rows))
        print()
    for name, why in left_out.items():
        print(note(f"{name} is not in the table: {why}."))
    print(
        note(
            f"""{CONNECTIONS} connections, bursts of {REQUESTS} requests, one proxy after the other; medians. Requests per
            second count the load and the upstream, which share the processors with the proxies; CPU counts the proxy alone."""
        )
    )


if __name__ == "__main__":
    main()
