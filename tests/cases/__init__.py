"""
The behaviour as tables: one JSON file a subject, each case with a stable id.
"""

import json
from pathlib import Path
from typing import Any

import pytest


def cases(name: str) -> list[Any]:
    """
    The cases of `<name>.json` as pytest parameters, named by their ids.
    """
    read = json.loads((Path(__file__).parent / f"{name}.json").read_text())
    return [pytest.param(case, id=case["id"]) for case in read["cases"]]
