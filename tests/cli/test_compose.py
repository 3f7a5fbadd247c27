"""
What `serve` refuses to start with.
"""

import json
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from savemode_cli.cli import compose as compose_module
from savemode_cli.cli import opening
from savemode_cli.config import Settings
from savemode_cli.serving import server as server_module
from tests.support.processes import savemode_here
from tests.support.upstream import running_proxy
from tests.support.wire import exchange, request


def one_error(*options: str) -> str:
    """
    What `serve` says where it refuses to start: one `error:` line and a hint, on stderr, no traceback.
    """
    done = savemode_here("serve", *options)
    said = done.stderr.decode()
    assert done.returncode == 2, said
    assert done.stdout == b""
    assert [line.startswith("error: ") for line in said.splitlines()] == [True, False], said
    return said


def test_port_taken() -> None:
    """
    A port that is taken is named, with the way out.
    """
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

        said = one_error("--port", str(port))

    assert f"cannot listen on 127.0.0.1:{port}: address already in use" in said
    assert "--port 0" in said


@pytest.mark.parametrize("url", ["ftp://host", "api.anthropic.com", "http://", "http://[bad", "http://host:99999"])
def test_bad_upstream(url: str) -> None:
    """
    An upstream that is no address is refused at start, not at the first request.
    """
    said = one_error("--port", "0", "--upstream", url)

    assert "--upstream is" in said
    assert "give an " in said


def test_upstream_with_a_password_is_not_repeated() -> None:
    """
    What looks like a credential is kept out of the error.
    """
    said = one_error("--upstream", "http://user:hunter2@host")

    assert "hunter2" not in said


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost"])
def test_upstream_that_is_the_proxy_itself(name: str) -> None:
    """
    A proxy that would call itself for ever does not start.
    """
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])

    assert "is this proxy itself" in one_error("--port", port, "--upstream", f"http://{name}:{port}")


def test_debug_with_a_public_address() -> None:
    """
    Debug stays on loopback, whatever else is allowed.
    """
    said = one_error("--host", "0.0.0.0", "--port", "0", "--debug", "--allow-remote")

    assert "debug listens on loopback only" in said


def test_save_with_a_public_address() -> None:
    """
    So does `--save`, whoever gave it.
    """
    flag = one_error("--host", "0.0.0.0", "--port", "0", "--save", "--allow-remote")

    assert "--save listens on loopback only, not on 0.0.0.0" in flag
    assert "SAVEMODE_SAVE=false" in flag


def test_public_address_needs_its_option() -> None:
    """
    An address that others can reach is taken only when asked for.
    """
    said = one_error("--host", "0.0.0.0", "--port", "0")

    assert "--allow-remote" in said


def test_public_address_needs_a_token(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Whoever can reach a public address could spend the budget: without a token it is not opened, nor with a poor one.
    """
    said = one_error("--host", "0.0.0.0", "--port", "0", "--allow-remote")
    monkeypatch.setenv("SAVEMODE_ACCESS_TOKEN", "too-short")
    poor = one_error("--host", "0.0.0.0", "--port", "0", "--allow-remote")

    assert "SAVEMODE_ACCESS_TOKEN" in said
    assert "too-short" not in poor


@pytest.mark.parametrize(
    ("name", "value"),
    [("HTTPS_PROXY", "gopher://user:hunter2@host"), ("SSL_CERT_FILE", "/nowhere"), ("SSL_CERT_DIR", "/nowhere")],
)
def test_an_environment_that_cannot_be_used(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    """
    It is said at start by the variable's name, not at the first request, and the port is not left open.
    """
    monkeypatch.setenv(name, value)
    said = one_error("--port", "0", "--upstream", "https://api.example")

    assert said.startswith(f"error: {name} names ")
    assert "hunter2" not in said


def test_simulated_upstream_knows_the_models_of_the_price_file(tmp_path: Path) -> None:
    """
    What the user has given a price can be asked for.
    """
    file = tmp_path / "prices.toml"
    file.write_text('[[price]]\nmodel = "our-deployment"\ninput = 1\noutput = 2\n')
    body = json.dumps({"model": "our-deployment", "max_tokens": 9, "messages": [{"role": "user", "content": "x"}]})
    with running_proxy("simulated", price_file=file) as proxy:
        headers = (("x-api-key", "made-up"), ("anthropic-version", "2023-06-01"))
        assert exchange(proxy.port, request("POST", "/v1/messages", body.encode(), *headers)).status == 200
        assert proxy.exchange().bill.price_state == "exact"


@pytest.mark.parametrize("options", [("--fail", "closed"), ("--strict",)])
def test_ledger_that_cannot_be_opened_and_must(options: tuple[str, ...]) -> None:
    """
    A proxy that would refuse everything does not start, and says how it would.
    """
    Path("ledger.db").write_text("no database, and long enough to be taken for one" * 20)

    said = one_error("--port", "0", "--budget", "1", "--ledger", "sqlite:///ledger.db", *options)

    assert "cannot open the ledger ledger.db" in said
    assert said.rstrip().endswith("; --fail open starts without the ledger")


def test_port_opens_when_everything_else_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Whoever can connect is answered, and does not wait for the ledger to be opened or for a module to be loaded.
    """
    steps: list[str] = []
    monkeypatch.setattr(opening, "open_till", noted(steps, "ledger", opening.open_till))
    monkeypatch.setattr(server_module, "bind", noted(steps, "bind", server_module.bind))
    monkeypatch.setattr(server_module, "open_port", noted(steps, "open", server_module.open_port))
    settings = Settings(port=0, upstream="http://127.0.0.1:9", ledger="memory:")

    proxy = compose_module.compose(
        settings, lambda _one: None, lambda *_: None, prepare=lambda: steps.append("prepare")
    )

    assert steps == ["bind", "ledger", "prepare", "open"]
    with socket.create_connection(proxy.listener.getsockname()[:2]):
        proxy.close()
    proxy.listener.close()


def noted(steps: list[str], name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """
    The function, which notes that it was called.
    """

    def call(*arguments: Any, **options: Any) -> Any:
        steps.append(name)
        return function(*arguments, **options)

    return call
