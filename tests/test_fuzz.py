"""
The fuzz targets on their seeds, and on a few thousand random bytes: that they run at all, and hold.
"""

import random

import pytest

from tests.fuzz.targets import TARGETS, seeds


@pytest.mark.parametrize("name", TARGETS)
def test_seeds_hold(name: str) -> None:
    """
    What fuzzing starts from keeps the promises, and so do its neighbours of one byte.
    """
    dice = random.Random(7)
    for seed in seeds(name):
        TARGETS[name](seed)
        for _ in range(100):
            place = dice.randrange(len(seed))
            TARGETS[name](seed[:place] + bytes([dice.randrange(256)]) + seed[place + dice.randrange(2) :])
