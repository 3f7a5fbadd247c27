"""
Recognises the files that savemode wrote, and that nobody has changed since.

Rule of this file: one line of the file contains the digest of all its other lines.
"""

import re
from hashlib import sha256

_LINE = re.compile(r"^.*Written by `savemode service install`, sha256 ([0-9a-f]{64})\..*\n", re.MULTILINE)


def signed(text: str, *, after: str = "", comment: tuple[str, str] = ("# ", "")) -> str:
    """
    A text with a line that shows who wrote it.

    Args:
        text: the text, which ends with a line break.
        after: a beginning of the text; the line follows it.
        comment: what begins and what ends a comment.
    """
    digest = sha256(text.encode()).hexdigest()
    words = f"Written by `savemode service install`, sha256 {digest}. `savemode service remove` deletes it."
    return f"{after}{comment[0]}{words}{comment[1]}\n{text.removeprefix(after)}"


def is_own(text: str) -> bool:
    """
    Whether savemode wrote exactly this text.
    """
    found = _LINE.search(text)
    return found is not None and sha256((text[: found.start()] + text[found.end() :]).encode()).hexdigest() == found[1]
