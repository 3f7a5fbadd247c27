"""
Edits: applied, reverted and described.
"""

import pytest

from savemode_cli.core.upgrade.edits import describe
from savemode_cli.core.upgrade.policy import Policy
from savemode_cli.core.upgrade.transform import transform
from savemode_cli.core.wire.messages import dotted
from tests.support.marked import BARE, PERSON, body_of


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b'{"type":"ephemeral"}', b'{"type":"ephemeral","ttl":"1h"}'),
        (b'{"type": "ephemeral"}', b'{"type": "ephemeral", "ttl": "1h"}'),
        (b'{ "type" :\t"ephemeral"\n }', b'{ "type" :\t"ephemeral","ttl":"1h"\n }'),
        (b'{"scope":"global","type":"ephemeral"}', b'{"scope":"global","type":"ephemeral","ttl":"1h"}'),
        (b'{"t\\u0079pe":"eph\\u0065meral"}', b'{"t\\u0079pe":"eph\\u0065meral","ttl":"1h"}'),
    ],
)
def test_insertion(before: bytes, after: bytes) -> None:
    """
    The TTL is inserted after the last value, as the vendor's own client writes it, with the spacing of the object.
    """
    body = b'{"system":[{"type":"text","text":"x","cache_control":%b}]}'

    assert body % after == transform(body % before, Policy("always"), PERSON).body


def test_description() -> None:
    """
    A change and a skip each read as one line.
    """
    done = transform(body_of(BARE, {**BARE, "ttl": "5m"}), Policy("always"), PERSON)

    assert (
        describe(done.edits[0]) == 'system.0.cache_control {"type": "ephemeral"} -> {"type": "ephemeral", "ttl": "1h"}'
    )
    assert describe(done.skips[0]) == 'system.1.cache_control client-ttl: the client chose ttl "5m"'


def test_paths_are_written_as_the_api_writes_them() -> None:
    """
    Dots between the steps; the request itself has a name of its own.
    """
    assert (dotted(("messages", 0, "content", 1)), dotted(())) == ("messages.0.content.1", "(request)")
