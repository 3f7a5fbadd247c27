"""
The content of a file decides its format, and a reader from outside works like the others.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import pytest

from savemode_cli.core.replay.recording import Call
from savemode_cli.readers import files
from savemode_cli.readers.bodies import one_body
from savemode_cli.readers.files import calls_in, why_unrecognised
from savemode_cli.readers.problems import Problems
from savemode_cli.readers.reader import Reader, Sample
from savemode_cli.readers.registry import READERS
from tests.support.command import Run
from tests.support.reading import format_of
from tests.support.transcripts import Transcript, usage

BODY = '{"model":"m","messages":[]}'


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        pytest.param(
            '{"type":"summary","summary":"s","leafUuid":"u"}\n', "transcript", id="a resumed one's first line"
        ),
        pytest.param(
            '{"type":"file-history-snapshot","messageId":"m","snapshot":{}}\n', "transcript", id="a snapshot first"
        ),
        pytest.param('garbage\n{"sessionId":"s"}\n', "", id="no object first"),
        pytest.param('{"broken\n{"sessionId":"s"}\n', "transcript", id="a broken line first"),
        pytest.param(BODY, "body", id="a body"),
        pytest.param(f"{BODY}\n{BODY}\n", "bodies", id="bodies"),
        pytest.param('{"started_at":"t","body":{}}\n{"started_at":"t","body":{}}\n', "bodies", id="wrapped bodies"),
        pytest.param(json.dumps(json.loads(BODY), indent=2), "body", id="a body over several lines"),
        pytest.param(json.dumps({"log": {"entries": []}}, indent=1), "har", id="a HAR as browsers write it"),
        pytest.param('{"log":{"entries":[]}}', "har", id="a HAR in one line"),
        pytest.param('\ufeff{"log":{}}', "har", id="a byte order mark"),
        pytest.param('\ufeff{"sessionId":"s"}\n', "transcript", id="a mark before a transcript"),
        pytest.param('{"sessionId":"s"}{"sessionId":"s"}\n', "transcript", id="two objects on its only line"),
        pytest.param('{"name":1}{"sessionId":"s"}\n', "", id="what the second object of a line is"),
        pytest.param("SQLite format 3\0more", "", id="a database of another program"),
        pytest.param('{"name":"package"}', "", id="another JSON file"),
        pytest.param("{", "", id="a start and nothing more"),
        pytest.param("MIT License", "", id="a licence"),
        pytest.param("", "", id="empty"),
    ],
)
def test_a_file_is_known_by_its_content(text: str, kind: str, tmp_path: Path) -> None:
    """
    Its name does not matter.
    """
    path = tmp_path / "LICENSE.txt"
    path.write_text(text)

    assert format_of(path) == kind


def test_a_transcript_in_utf_16_is_recognised(tmp_path: Path) -> None:
    """
    Older PowerShells redirect output to such files; the reason why a file is not recognised refers to its text.
    """
    path = tmp_path / "text.jsonl"
    path.write_text('{"sessionId":"s"}\n', encoding="utf-16")
    assert format_of(path) == "transcript"
    path.write_text('{"name":1}\n', encoding="utf-16")
    assert (format_of(path), why_unrecognised(path)) == (
        "",
        "none of its first objects is a message, is a request body, or contains one",
    )


def test_a_transcript_is_recognised_by_its_first_line(tmp_path: Path) -> None:
    """
    With each first line that the client writes.
    """
    assert format_of(Transcript("s").user().answer("1", usage()).write(tmp_path)) == "transcript"


def test_a_file_that_cannot_be_opened_is_not_recognised(tmp_path: Path) -> None:
    """
    A file that was removed meanwhile does not end the command.
    """
    assert format_of(tmp_path / "gone") == ""


def test_a_huge_object_over_many_lines_is_not_read_for_this(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Recognising a file must not take longer than reading it.
    """
    monkeypatch.setattr(files, "_MAX_LINE_BYTES", 4)
    path = tmp_path / "big.json"
    path.write_text('{\n"version":1,\n"log":{"entries":[]}}')

    assert format_of(path) == ""


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("interactions:\n- request:\n", "cassette"),
        ("\ufeff# of a test\n---\nhttp_interactions:\n", "cassette"),
        ("---\nversion: 2\ninteractions:\n", "cassette"),
        ('{"version": 1, "interactions": []}', "cassette"),
        ("---\ntitle: x\ninteractions:\n", ""),
        ("interactions are many\n", ""),
        ('{"request": {"method": "POST"}, "response": {}}\n', "body"),
        ('{"body_base64": ""}\n{"body_base64": ""}\n', "bodies"),
        ('{"schema_version": 1, "capture": {}}\n{"schema_version": 1, "capture": {}}\n', "bodies"),
        ('{"capture": {}}', ""),
    ],
)
def test_records_of_other_tools(tmp_path: Path, text: str, kind: str) -> None:
    """
    Cassettes with each beginning that VCR writes, recorded pairs, and lines of savemode's export with missing fields.
    """
    path = tmp_path / "x"
    path.write_text(text)

    assert format_of(path) == kind


@pytest.mark.parametrize("text", ['{"a": "' + "x" * 9000 + '", "messages": []}', '{"a": 1,\n"b": [],\n"messages": []}'])
def test_a_line_longer_than_is_read_at_once(tmp_path: Path, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    One object in a long line, or over many lines, is read completely.
    """
    monkeypatch.setattr(files, "_MAX_LINE_BYTES", 5000)
    path = tmp_path / "x"
    path.write_text(text)

    assert format_of(path) == "body"


def test_an_archive_of_any_length_is_recognised(tmp_path: Path) -> None:
    """
    Its beginning is sufficient.
    """
    path = tmp_path / "x"
    with path.open("wb") as file:
        file.write(b'\xef\xbb\xbf{\n  "log": {"entries": [')
        file.truncate(1 << 34)

    assert format_of(path) == "har"


def test_a_compact_trace_is_named(tmp_path: Path) -> None:
    """
    The reason says what to do.
    """
    path = tmp_path / "x"
    path.write_text('{"__claude_tap_compact_trace__":{"version":1},"records":[],"blobs":{}}')

    assert format_of(path) == ""
    assert "export it as JSONL" in why_unrecognised(path)


def test_a_transcript_holds_no_calls(tmp_path: Path) -> None:
    """
    Its answers are read by session.
    """
    path = Transcript("s").user().answer("1", usage()).write(tmp_path)

    assert list(calls_in(path, READERS["transcript"], Problems())) == []


def _is_diary(sample: Sample) -> bool:
    return sample.start.startswith(b"DIARY\n")


def _diary_calls(file: BinaryIO, path: Path, problems: Problems) -> Iterator[Call]:
    file.readline()
    yield from one_body(file, path, problems)


def test_a_reader_from_outside(savemode: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    With one entry, its files are found, read, counted and listed in help.
    """
    (tmp_path / "x").write_bytes(b"DIARY\n" + BODY.encode())
    assert "no recorded traffic" in savemode("replay", str(tmp_path)).err
    monkeypatch.setitem(READERS, "diary", Reader("diary", "request diaries", _is_diary, _diary_calls, rank=3))
    text = savemode("replay", str(tmp_path)).out
    data = json.loads(savemode("replay", str(tmp_path), "--json").out)

    assert "from request diaries (1 file)" in text
    assert (data["files"], data["upgrades"]["bodies"]) == ({"diary": 1}, 1)
    assert "request diaries" in savemode("replay", "--help").out
    assert "request diaries" not in savemode("diff-request", "--help").out
    assert savemode("diff-request", str(tmp_path / "x")).code == 0
