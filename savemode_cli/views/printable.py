"""
Text for a terminal: what steers a terminal, or reorders or hides what is read there, is made visible.

Rule of this file: what is printable is decided here and nowhere else. Everything that savemode writes to stdout or stderr
goes through one of these functions, whoever the text is from: see `savemode_cli.cli.screen`.

Not printable is what Unicode calls other or separator, the space excepted: the controls C0 and C1 with ESC and DEL, formats
such as the bidirectional controls (U+202A to U+202E, U+2066 to U+2069) and zero-width characters, U+2028 and U+2029,
surrogates, and what is not assigned. Source: `str.isprintable`, which follows the Unicode Character Database.
"""

import re

_LINE_BREAKS = re.compile(r"[\r\n\t]+ *")
_COLOURS = re.compile(r"(\x1b\[(?:[012]|3[1-6])m)")
"""What `typer.style` writes for the styles that we use: reset, bold, dim, and six colours of the text."""


def printable(text: str) -> str:
    """
    The text on one line, with a visible escape in the place of each character that is not printable. Line breaks and tabs
    become a space.
    """
    return text if text.isprintable() else _escaped(_LINE_BREAKS.sub(" ", text))


def printable_lines(text: str) -> str:
    """
    The same for a text of several lines: line breaks stay, and tabs become spaces.
    """
    lines = text.replace("\r\n", "\n").split("\n")
    return "\n".join(line if line.isprintable() else _escaped(line.expandtabs()) for line in lines)


def printable_ansi(text: str) -> str:
    """
    The same for lines in which our own colours stand; every other escape sequence is made visible.
    """
    if "\x1b" not in text:
        return printable_lines(text)
    parts = _COLOURS.split(text)
    return "".join(part if number % 2 else printable_lines(part) for number, part in enumerate(parts))


def without_colours(text: str) -> str:
    """
    Lines without our own colours, for what is not a terminal.
    """
    return _COLOURS.sub("", text) if "\x1b" in text else text


def printable_json(text: str) -> str:
    """
    The same for JSON, which keeps its meaning: characters that are not printable are written as JSON escapes.
    """
    lines = text.split("\n")
    return "\n".join(line if line.isprintable() else "".join(map(_json_escape, line)) for line in lines)


def _escaped(line: str) -> str:
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in line)


def _json_escape(one: str) -> str:
    if one.isprintable():
        return one
    code = ord(one)
    if code < 0x10000:
        return f"\\u{code:04x}"
    code -= 0x10000
    return f"\\u{0xD800 + (code >> 10):04x}\\u{0xDC00 + (code & 0x3FF):04x}"
