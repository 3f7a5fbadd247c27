"""
Readers recognise files by samples.
"""

from savemode_cli.readers.reader import Sample
from savemode_cli.readers.registry import READERS


def test_an_empty_sample_is_not_recognised() -> None:
    """
    An empty beginning shows no format.
    """
    assert [name for name, reader in READERS.items() if reader.sniff(Sample(b""))] == []


def test_ranks_are_distinct() -> None:
    """
    Of two records of one call, the rank decides which one counts.
    """
    ranks = [reader.rank for reader in READERS.values()]
    assert len({*ranks}) == len(ranks)
