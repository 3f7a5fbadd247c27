"""
HTTP in the versions that clients use: offered protocol upgrades, and HTTP/1.0.
"""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.proxy.test_gateway import PLAIN, STREAM
from tests.support.simulated import KEY, MODEL, VERSION, running_simulated
from tests.support.upstream import RunningProxy, Upstream, running_proxy
from tests.support.waiting import LONG_S
from tests.support.wire import CHUNKED, LAST_CHUNK, OK, End, Wire, chunk, request

# Protocol upgrades.

UPGRADE = (("connection", "Upgrade, HTTP2-Settings"), ("upgrade", "h2c"), ("http2-settings", "AAMAAABk"))
LARGE = b"x" * 300_000


def upgrade_request(method: str, target: str, body: bytes | None, *headers: tuple[str, str]) -> bytes:
    """
    A request that offers HTTP/2, as Java's client does with every request.
    """
    return request(method, target, body, *UPGRADE, *headers)


@pytest.mark.parametrize(
    ("sent", "body"),
    [
        (upgrade_request("GET", "/v1/models", None), b""),
        (upgrade_request("POST", "/v1/files", LARGE), LARGE),
        (upgrade_request("POST", "/v1/files", b""), b""),
        (
            upgrade_request("POST", "/v1/files", None, ("transfer-encoding", "chunked")) + chunk(b"ab") + LAST_CHUNK,
            b"ab",
        ),
        (request("POST", "/v1/files", LARGE, ("connection", "upgrade"), ("upgrade", "websocket")), LARGE),
        (request("POST", "/v1/files", LARGE, ("upgrade", "h2c")), LARGE),
    ],
    ids=["get", "post", "empty", "chunked", "websocket", "not-in-connection"],
)
@pytest.mark.parametrize("pieces", [1, 2, 100])
def test_offered_upgrade_is_ignored(wire: Wire, wired: RunningProxy, sent: bytes, body: bytes, pieces: int) -> None:
    """
    The request is answered in HTTP/1.1, its body is forwarded without the offer, and the connection can be used again.
    """
    size = len(sent) // pieces + 1
    with End.to(wired.port) as client:
        for start in range(0, len(sent), size):
            client.send(sent[start : start + size])
        upstream = wire.accept()
        arrived = upstream.message()
        upstream.send(OK)

        assert client.message().status == 200
        assert arrived.body == body
        assert not {b"upgrade", b"connection", b"http2-settings"} & set(arrived.names)

        client.send(request("GET", "/v1/models"))
        upstream.message()
        upstream.send(OK)
        assert client.message().status == 200


def test_pipelined_offers(upstream: Upstream, proxy: RunningProxy) -> None:
    """
    The bytes after such a request on the connection are the next request.
    """
    with End.to(proxy.port) as client:
        client.send(b"".join(upgrade_request("POST", f"/v1/files?{number}", b"%d" % number) for number in range(200)))

        assert [client.message().status for _ in range(200)] == [200] * 200
    assert [received.body for received in upstream.received] == [b"%d" % number for number in range(200)]


def test_offer_of_a_model_call_is_ignored(wire: Wire, wired: RunningProxy) -> None:
    """
    The call is handled and recorded like any other call.
    """
    with End.to(wired.port) as client:
        client.send(upgrade_request("POST", "/v1/messages", PLAIN))
        upstream = wire.accept()
        assert upstream.message().body == PLAIN
        upstream.send(OK)
        client.message()

    assert (wired.exchange().call.model, wired.exchange().call.request_bytes) == (MODEL, len(PLAIN))


def test_simulated_upstream_ignores_offers() -> None:
    """
    The simulated upstream reads the body of such a request too.
    """
    call = {"model": MODEL, "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}
    with running_simulated() as one, End.to(one.port) as client:
        client.send(upgrade_request("POST", "/v1/messages", json.dumps(call).encode(), KEY, VERSION))

        assert client.message().status == 200


def test_tunnels_are_refused(wired: RunningProxy) -> None:
    """
    CONNECT is answered with an error, and nothing is forwarded.
    """
    with End.to(wired.port) as client:
        client.send(b"CONNECT example.com:443 HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n")

        assert client.message().status == 400
        assert client.rest() == b""


JAVA = """
import java.net.URI;
import java.net.http.*;

class Post {
    public static void main(String[] arguments) throws Exception {
        var client = HttpClient.newHttpClient();
        for (var url : arguments) {
            var asked = HttpRequest.newBuilder(URI.create(url + "/v1/messages"))
                .header("x-api-key", "made-up").header("anthropic-version", "2023-06-01")
                .POST(HttpRequest.BodyPublishers.ofString(
                    "{\\"model\\":\\"%s\\",\\"max_tokens\\":9,"
                    + "\\"messages\\":[{\\"role\\":\\"user\\",\\"content\\":\\"hi\\"}]}"))
                .build();
            System.out.println(client.send(asked, HttpResponse.BodyHandlers.ofString()).statusCode());
        }
    }
}
""".replace("%s", MODEL)


@pytest.mark.skipif(shutil.which("javac") is None, reason="no JDK on this machine")
def test_java_client(tmp_path: Path) -> None:
    """
    The HTTP client of a real JDK with its default settings, through the proxy and directly to the simulated upstream.
    """
    source = tmp_path / "Post.java"
    source.write_text(JAVA)
    with running_simulated() as one, running_proxy(one.url) as proxy:
        ran = subprocess.run(
            ["java", str(source), proxy.url, one.url, proxy.url],
            capture_output=True,
            text=True,
            timeout=5 * LONG_S,
            check=False,
        )

    assert (ran.stdout.split(), ran.stderr) == (["200"] * 3, "")


# HTTP/1.0.


def http_1_0_request(data: bytes) -> bytes:
    """
    A request as an HTTP/1.0 client sends it.
    """
    return data.replace(b" HTTP/1.1\r\n", b" HTTP/1.0\r\n", 1)


def test_stream_to_http_1_0_ends_with_the_connection(wire: Wire, wired: RunningProxy) -> None:
    """
    An HTTP/1.0 client gets each event at once, without chunks, and the answer ends when the connection closes.
    """
    with End.to(wired.port) as client:
        client.send(http_1_0_request(request("POST", "/v1/messages", STREAM)))
        upstream = wire.accept()
        upstream.message()
        upstream.send(CHUNKED + chunk(b"data: 1\n\n"))
        head = client.head()
        assert client.read(9) == b"data: 1\n\n"
        upstream.send(chunk(b"data: 2\n\n") + LAST_CHUNK)

        assert client.rest() == b"data: 2\n\n"
    assert (head.status, head.all(b"transfer-encoding"), head.all(b"connection")) == (200, [], [b"close"])
    assert wired.exchange().answer.response_bytes == 18


def test_answer_of_known_length_to_http_1_0(wire: Wire, wired: RunningProxy) -> None:
    """
    The content-length is kept, and the connection is closed after the answer.
    """
    with End.to(wired.port) as client:
        client.send(http_1_0_request(request("POST", "/v1/messages", PLAIN, ("connection", "keep-alive"))))
        upstream = wire.accept()
        upstream.message()
        upstream.send(OK)
        answer = client.message()

        assert (answer.all(b"content-length"), answer.body) == ([b"2"], b"{}")
        assert answer.all(b"transfer-encoding") == []
        assert client.rest() == b""


@pytest.mark.parametrize(
    ("method", "answered"),
    [
        ("HEAD", b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ntransfer-encoding: chunked\r\n\r\n"),
        ("GET", b"HTTP/1.1 204 No Content\r\n\r\n"),
        ("GET", b"HTTP/1.1 304 Not Modified\r\n\r\n"),
        ("GET", CHUNKED + LAST_CHUNK),
    ],
)
def test_empty_answers_to_http_1_0(wire: Wire, wired: RunningProxy, method: str, answered: bytes) -> None:
    """
    An answer without a body ends with its head.
    """
    with End.to(wired.port) as client:
        client.send(http_1_0_request(request(method, "/v1/models")))
        upstream = wire.accept()
        upstream.message()
        upstream.send(answered)

        assert client.head().all(b"transfer-encoding") == []
        assert client.rest() == b""


def test_answer_to_http_1_0_that_is_cut_short(wire: Wire, wired: RunningProxy) -> None:
    """
    The client cannot detect that the answer is incomplete, but the recorded exchange says so.
    """
    with End.to(wired.port) as client:
        client.send(http_1_0_request(request("POST", "/v1/messages", STREAM)))
        upstream = wire.accept()
        upstream.message()
        upstream.send(CHUNKED + chunk(b"data: 1\n\n"))
        client.head()
        upstream.close()

        assert client.rest() == b"data: 1\n\n"
    assert wired.exchange().answer.outcome == "broken"


@pytest.mark.parametrize("path", ["/-/health", "/-/unknown", "/v1/messages"])
def test_own_answers_to_http_1_0(wired: RunningProxy, path: str) -> None:
    """
    The proxy's own answers have a content-length.
    """
    with End.to(wired.port) as client:
        client.send(
            http_1_0_request(request("GET" if path.startswith("/-/") else "POST", path, None, ("origin", "http://x")))
        )
        answer = client.message()

        assert len(answer.all(b"content-length")) == 1
        assert client.rest() == b""


def test_simulated_stream_to_http_1_0() -> None:
    """
    The simulated upstream streams to such a client too.
    """
    call = {"model": MODEL, "max_tokens": 9, "stream": True, "messages": [{"role": "user", "content": "hi"}]}
    with running_simulated() as one, End.to(one.port) as client:
        client.send(http_1_0_request(request("POST", "/v1/messages", json.dumps(call).encode(), KEY, VERSION)))
        answer = client.message()

    assert (answer.status, answer.all(b"transfer-encoding")) == (200, [])
    assert answer.body.startswith(b"event: message_start\n")
    assert answer.body.endswith(b"\n\n")


def test_http_1_0_client_gets_no_interim_answer(wire: Wire, wired: RunningProxy) -> None:
    """
    An HTTP/1.0 client does not get an interim answer.
    """
    with End.to(wired.port) as client:
        client.send(http_1_0_request(request("POST", "/v1/messages", PLAIN, ("expect", "100-continue"))))
        upstream = wire.accept()
        upstream.message()
        upstream.send(OK)

        assert client.head().status == 200
