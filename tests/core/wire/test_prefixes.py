"""
Beginnings of bodies that were seen.
"""

from savemode_cli.core.wire.prefixes import NODE_BYTES, SeenPrefixes

CHUNK = 4
BODY = bytes(range(100))


def known_at(*ends: int) -> list[tuple[int, int, int]]:
    """
    Something that is known of beginnings of this length: their length.
    """
    return [(end, end, 0) for end in ends]


def test_what_is_known_of_the_longest_beginning() -> None:
    """
    It is what ends in the chunks that are equal. A chunk that is not complete is not looked at.
    """
    seen: SeenPrefixes[int] = SeenPrefixes(10**6, CHUNK)
    seen.remember(seen.walk(BODY), BODY, known_at(6, 9, 30))

    lengths = {length: [node.known for node in seen.walk(BODY[:length] + b"other")] for length in (3, 8, 12, 31, 33)}

    assert lengths == {
        3: [],
        8: [None, 6],
        12: [None, 6, 9],
        31: [None, 6, 9, 9, 9, 9, 9],
        33: [None, 6, 9, 9, 9, 9, 9, 30],
    }


def test_two_bodies_that_begin_alike() -> None:
    """
    Each has its own end.
    """
    seen: SeenPrefixes[int] = SeenPrefixes(10**6, CHUNK)
    one, other = BODY[:20] + b"a" * 20, BODY[:20] + b"b" * 20
    seen.remember(seen.walk(one), one, known_at(18, 40))
    seen.remember(seen.walk(other), other, known_at(36))

    assert [seen.walk(body)[-1].known for body in (one, other)] == [40, 36]
    assert len(seen.walk(BODY)) == 5


def test_what_it_pays_to_remember() -> None:
    """
    The second body of a conversation, and what goes on with one that was remembered; nothing that comes once.
    """
    seen: SeenPrefixes[int] = SeenPrefixes(10**6, CHUNK)
    assert not seen.is_worth_it(seen.walk(BODY), BODY)
    assert len(seen.walk(BODY)) == 1
    assert seen.is_worth_it(seen.walk(BODY), BODY)
    seen.remember(seen.walk(BODY), BODY, known_at(2, 99))

    assert [node.known for node in seen.walk(BODY)][:2] == [2, 2]
    assert not seen.is_worth_it(seen.walk(BODY), BODY)
    assert seen.is_worth_it(seen.walk(BODY), BODY + BODY[:20])
    forked = BODY[:8] + BODY
    assert not seen.is_worth_it(seen.walk(forked), forked)
    assert seen.is_worth_it(seen.walk(forked), forked)


def test_the_bound_and_what_goes_first() -> None:
    """
    The body that was seen longest ago goes first, from its end.
    """
    seen: SeenPrefixes[int] = SeenPrefixes(60 * NODE_BYTES, CHUNK)
    bodies = [bytes([number]) * 100 for number in range(3)]
    for body in bodies[:2]:
        seen.remember(seen.walk(body), body, ())
    assert len(seen.walk(bodies[0])) == 25
    seen.remember(seen.walk(bodies[2]), bodies[2], ())

    assert seen.size_bytes == 60 * NODE_BYTES
    assert [len(seen.walk(body)) for body in bodies] == [25, 10, 25]
    for _ in range(50):
        large = BODY * 10
        seen.remember(seen.walk(large), large, known_at(1))
        assert seen.size_bytes <= 60 * NODE_BYTES
