"""
What `serve` says when it starts.
"""

import signal
from pathlib import Path

import pytest

from tests.cli.test_serve import BODY
from tests.support.network import Authority
from tests.support.processes import SAVEMODE, post, running, serving
from tests.support.upstream import Upstream


def test_public_address_is_announced(upstream: Upstream) -> None:
    """
    With the option it is taken, and said aloud.
    """
    words = ("serve", "--port", "0", "--upstream", upstream.url, "--host", "0.0.0.0", "--allow-remote")
    with running(*SAVEMODE, *words, SAVEMODE_ACCESS_TOKEN="0123456789abcdef") as server:
        server.err.wait_for("WARNING listening_beyond_loopback: ")


@pytest.mark.parametrize(
    ("options", "event"),
    [(["--debug"], "cost_controls_dev_override_active"), ([], "cost_controls_dev_override_ignored")],
)
def test_gate_warning(upstream: Upstream, options: list[str], event: str) -> None:
    """
    The environment switch is announced where it works, and where it does not.
    """
    with serving(upstream.url, *options, COST_CONTROLS_ENABLED="true") as (server, url):
        server.err.wait_for(f"^WARNING {event}: COST_CONTROLS_ENABLED=true")
        post(url, BODY)
        server.out.wait_for("gate=on" if options else "gate=off")


def test_no_warning_without_the_switch(upstream: Upstream) -> None:
    """
    Without the switch there is nothing to warn of.
    """
    with serving(upstream.url, "--debug") as (server, _):
        server.end()

    assert "WARNING" not in server.err.all()


def test_what_the_environment_decides_is_said(tmp_path: Path) -> None:
    """
    The proxy without its password, the certificates, and the variables that are ignored, each with its name.
    """
    file = tmp_path / "authority.pem"
    file.write_bytes(Authority().pem)
    environ = {
        "HTTPS_PROXY": "http://user:hunter2@127.0.0.1:9",
        "NO_PROXY": "10.0.0.0/99",
        "SSL_CERT_FILE": str(file),
        "NODE_EXTRA_CA_CERTS": "/nowhere",
    }
    with serving("https://api.example", **environ) as (server, _):
        server.end()

    said = " ".join(server.err.all().split())
    assert " upstream https://api.example via proxy http://127.0.0.1:9 (HTTPS_PROXY) " in said
    assert f" CA file {file} (SSL_CERT_FILE) " in said
    assert said.count("WARNING environment: NO_PROXY: 10.0.0.0/99: neither a host nor a network") == 1
    assert said.count("WARNING environment: NODE_EXTRA_CA_CERTS names /nowhere, which cannot be read") == 1
    assert "hunter2" not in said


def test_banner_names_the_config_files(upstream: Upstream) -> None:
    """
    A file of the folder that one happens to stand in is named, with what it decided.
    """
    Path("savemode.toml").write_text("quiet = true")
    with serving(upstream.url) as (server, _):
        assert server.end(signal.SIGTERM) == 0

    lines = " ".join(server.err.all().split())
    assert f" config {Path.cwd()}/savemode.toml (not trusted): quiet " in lines
