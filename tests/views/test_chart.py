"""
A picture to keep: well-formed, readable, and silent where the model is poor.
"""

from itertools import pairwise
from xml.etree import ElementTree as Xml

from savemode_cli.views.chart import svg
from tests.core.replay.test_report import advised
from tests.support.replayed import many

GOOD = svg(advised(*many(10, [600, 10, 100_000])))
SPACE = "{http://www.w3.org/2000/svg}"


def test_the_picture_is_well_formed() -> None:
    """
    Three curves with their amounts, a bar for each class of pauses, everything inside the frame.
    """
    root = Xml.fromstring(GOOD)  # noqa: S314 - we made it
    texts = [one.text or "" for one in root.iter(f"{SPACE}text")]
    points = [
        float(number)
        for line in root.iter(f"{SPACE}polyline")
        for point in line.attrib["points"].split()
        for number in point.split(",")
    ]

    assert len(list(root.iter(f"{SPACE}polyline"))) == 3
    assert len(list(root.iter(f"{SPACE}rect"))) == 11
    assert sum(text.startswith(("all 5m $", "all 1h $", "as recorded $")) for text in texts) == 3
    assert 0 <= min(points) <= max(points) <= 700


def test_labels_do_not_overlap() -> None:
    """
    Though the curves end at the same height.
    """
    root = Xml.fromstring(GOOD)  # noqa: S314
    heights = sorted(
        float(one.attrib["y"]) for one in root.iter(f"{SPACE}text") if one.attrib.get("font-weight") == "600"
    )

    assert all(low - high >= 15 for high, low in pairwise(heights))


def test_a_poor_model_draws_the_bill_alone() -> None:
    """
    And nothing at all draws an empty frame.
    """
    assert svg(advised(*many(6, [600]))).count("<polyline") == 1
    assert "<polyline" not in svg(advised())
