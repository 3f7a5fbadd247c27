"""
What is fuzzed, and what must hold of any bytes at all.

Rule of this file: a target takes bytes and fails only by an exception that the code under test promised not to raise, or
by an assertion that names a promise.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import NamedTemporaryFile

from savemode_cli.core.cache.prompt import prompt_of
from savemode_cli.core.errors import BadHeader, BadInput
from savemode_cli.core.money.pricing import PriceTable
from savemode_cli.core.replay.bodies import BodyReplay, judged
from savemode_cli.core.replay.rates import RequestRates
from savemode_cli.core.replay.recording import Wanted
from savemode_cli.core.replay.report import summed
from savemode_cli.core.replay.sessions import replay_session
from savemode_cli.core.upgrade.edits import revert
from savemode_cli.core.upgrade.policy import Policy
from savemode_cli.core.upgrade.transform import transform
from savemode_cli.core.wire.caller import Caller, read_caller
from savemode_cli.core.wire.facts import facts
from savemode_cli.core.wire.messages import order_errors
from savemode_cli.core.wire.meter import UsageMeter
from savemode_cli.core.wire.products import PRODUCTS
from savemode_cli.core.wire.route import read_route
from savemode_cli.readers.answers import Ids
from savemode_cli.readers.problems import Problems
from savemode_cli.readers.transcript_files import groups
from savemode_cli.readers.transcripts import read_group
from tests.builders import a_price
from tests.support.reading import calls, format_of

_PERSON = Caller("posthog_code", idle_prone=True)
_ENCODINGS = ("", "gzip", "br", "zstd", "deflate", "gzip, br", "identity", "x")
_SMALL = 1 << 20


def upgrade(data: bytes) -> None:
    """
    Any body: edits revert to it, a second pass adds nothing, and a legal order of TTLs stays legal.
    """
    for policy in (Policy("always"), Policy("always", compat=True)):
        known = facts(data)
        done = transform(data, policy, _PERSON, known)
        assert revert(done.body, done.edits) == data, "edits revert"
        if not done.edits:
            assert done.body == data, "no edits means the original bytes"
        after = facts(done.body)
        assert not transform(done.body, policy, _PERSON, after).edits, "a second pass adds nothing"
        before = order_errors([(one.path, one.lifetime) for one in known.breakpoints])
        then = order_errors([(one.path, one.lifetime) for one in after.breakpoints])
        assert before or not then or policy.compat, "legal stays legal"


def meter(data: bytes) -> None:
    """
    Any answer, in any pieces: the meter says the same of it as of the whole, and never raises.
    """
    if len(data) < 2:
        return
    coding = _ENCODINGS[data[0] % len(_ENCODINGS)]
    step, body = 1 + data[1] % 64, data[2:]
    whole, pieces = (
        UsageMeter(content_encoding=coding, max_decoded_bytes=_SMALL, max_event_bytes=_SMALL) for _ in range(2)
    )
    whole.feed(body)
    whole.close()
    for start in range(0, len(body), step):
        pieces.feed(body[start : start + step])
    pieces.close()
    says, said = ((one.usage, one.final, one.broken, one.silent) for one in (whole, pieces))
    assert says == said, "chunks do not matter"
    assert whole.emitted_chars == pieces.emitted_chars, "chunks do not matter"
    assert whole.usage is None or min(whole.usage.tokens.input, whole.usage.tokens.output) >= 0, (
        "counts are not negative"
    )


def headers(data: bytes) -> None:
    """
    Any path and headers: a caller, or the error that says which header is bad.
    """
    path, *lines = data.split(b"\n")
    named = [(name.strip().lower(), value.strip()) for name, _, value in (line.partition(b":") for line in lines)]
    try:
        route = read_route(path.decode("latin-1"), PRODUCTS)
        read_caller(named, route.product, PRODUCTS)
    except BadHeader:
        pass


def prompt(data: bytes) -> None:
    """
    Any body: a prompt whose parts add up, or the error that says why it is none.
    """
    try:
        read = prompt_of(data)
    except BadInput:
        return
    assert read.total_tokens >= 0, "tokens are not negative"


def recorded(data: bytes) -> None:
    """
    Any file: read as each of the kinds it might be of and replayed; what is wrong with it is counted, never raised.
    """
    with NamedTemporaryFile(suffix=".jsonl") as file:
        file.write(data)
        file.flush()
        path, problems = Path(file.name), Problems()
        format_of(path)
        (group,) = groups([path])
        session = read_group(group, Ids(), problems)
        sessions = [replay_session(session, _RATES, Wanted(), idle_prone=True)]
        bodies = BodyReplay(_RATES, Wanted())
        for name in _FORMATS:
            for call in calls(path, name, problems):
                bodies.feed(judged(call, Policy("always"), "posthog_code", PRODUCTS), Policy("product"))
    done = summed([*(one for one in sessions if one is not None), *bodies.sessions])
    cached = {
        one.tokens.read_tokens + one.tokens.write_5m_tokens + one.tokens.write_1h_tokens for one in done.estimates
    }
    assert len(cached) <= 1, "every policy has the same prompts"


_FORMATS = ("bodies", "body", "har")
_RATES = RequestRates(PriceTable([a_price()]))


TARGETS: dict[str, Callable[[bytes], None]] = {
    "upgrade": upgrade,
    "meter": meter,
    "headers": headers,
    "prompt": prompt,
    "recorded": recorded,
}


def seeds(target: str) -> Iterator[bytes]:
    """
    Where to begin.
    """
    if target == "meter":
        for file in sorted((Path(__file__).parents[1] / "data").glob("*.sse")):
            yield b"\x01\x07" + file.read_bytes()
        yield b'\x00\x07{"usage":{"input_tokens":1,"cache_creation":{"ephemeral_1h_input_tokens":2},"output_tokens":3}}'
    elif target == "headers":
        yield b'/array/v1/messages\nx-posthog-flag-a: true\nx-posthog-property-$b: c\nx-posthog-properties: {"a":1}'
        yield b"/v1/messages\ntraceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\nauthorization: Bearer x"
    elif target == "recorded":
        used = b'"usage":{"input_tokens":3,"cache_creation_input_tokens":5000,"cache_read_input_tokens":7}'
        said = (
            b'{"type":"user","uuid":"u","sessionId":"s","timestamp":"2026-11-24T12:00:00Z","message":{"content":"x"}}'
        )
        tie = b'"parentUuid":"u","sessionId":"s","timestamp":"2026-11-24T12:0%d:00Z","requestId":"r%d"'
        answer = b'{"type":"assistant",' + tie + b',"message":{"id":"m%d","model":"claude-opus-5-5",' + used + b"}}"
        nested = b'{"type":"progress","data":{"agentId":"a","message":' + answer + b"}}"
        yield b"\n".join([said, answer % (0, 0, 0), answer % (9, 1, 1), nested % (1, 2, 2)])
        body = b'{"model":"claude-opus-5-5","messages":[{"role":"user","content":"hi"}]}'
        yield (
            b'{"started_at":"2026-11-24T12:00:00Z","duration_ms":7,"session":"s",' + used + b',"body":' + body + b"}\n"
        )
        posted = b'{"method":"POST","url":"https://a/v1/messages","headers":[],"postData":{"text":"{}"}}'
        yield b'{"log":{"entries":[{"startedDateTime":"2026-11-24T12:00:00Z","time":7,"request":' + posted + b"}]}}"
    else:
        mark = b'"cache_control":{"type":"ephemeral"}'
        yield b'{"model":"claude-opus-5-5","system":[{"type":"text","text":"a",' + mark + b'}],"messages":[]}'
        yield (
            b'{"model":"m","tools":[{"name":"t","input_schema":{},' + mark + b'}],"messages":[{"role":"user","content":'
            b'[{"type":"tool_result","content":[{"type":"text","text":"x",' + mark + b"}]}]}]," + mark + b"}"
        )
