"""
All unreadable records are counted, and a limited number of them is listed.
"""

from savemode_cli.readers.problems import MAX_NAMED, Problem, Problems


def test_a_place_is_named() -> None:
    """
    The file and line, or only the file.
    """
    assert str(Problem("a.jsonl", 12, "not JSON")) == "a.jsonl:12: not JSON"
    assert str(Problem("a.jsonl", None, "permission denied")) == "a.jsonl: permission denied"


def test_many_are_counted_and_few_are_named() -> None:
    """
    A file with only invalid lines uses little memory.
    """
    one, other = Problems(), Problems()
    for line in range(1, 151):
        one.add("a", line, "not JSON")
        other.add("b", line, "not JSON")
    one.take(other)

    assert (one.count, len(one.named)) == (300, MAX_NAMED)

    few = Problems()
    few.add("c", 1, "not JSON")
    few.take(other)
    assert (few.count, len(few.named), few.named[1].file) == (151, MAX_NAMED, "b")
