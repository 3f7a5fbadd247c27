"""
What is known of a request while it is served.
"""

from dataclasses import replace

from savemode_cli.core.wire.facts import Facts
from tests.builders import a_call_in_progress


def test_models_and_sessions_share_no_cache() -> None:
    """
    The key of a cache names the session and the model.
    """
    call = a_call_in_progress(facts=Facts(model="claude-opus-5-5"), session="s")
    others = [replace(call, session="t"), replace(call, facts=Facts(model="claude-haiku-5"))]

    assert len({one.cache for one in (call, *others)}) == 3


def test_the_finished_call_has_the_facts_of_the_body() -> None:
    """
    The path keeps its spelling, and the size is that of the body as the client sent it.
    """
    facts = Facts(model="claude-opus-5-5", stream=True, opens_turn=False)
    call = a_call_in_progress(facts=facts, session="s", body_bytes=70)
    call.inbound.raw_path, call.inbound.body = b"/v1/m%65ssages\xe9", b""
    finished = call.finished()

    assert (finished.method, finished.path, finished.request_bytes) == ("POST", "/v1/m%65ssages\u00e9", 70)
    assert (finished.model, finished.stream, finished.opens_turn) == ("claude-opus-5-5", True, False)
