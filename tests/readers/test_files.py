"""
Files are found once and known by what is in them.
"""

import json
from pathlib import Path

import pytest

from savemode_cli.core.errors import BadInput
from savemode_cli.readers import files
from savemode_cli.readers.files import kind_of, walk
from tests.transcripts import Transcript, usage

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
        pytest.param('garbage\n{"sessionId":"s"}\n', "other", id="no object first"),
        pytest.param('{"broken\n{"sessionId":"s"}\n', "transcript", id="a broken line first"),
        pytest.param(BODY, "body", id="a body"),
        pytest.param(f"{BODY}\n{BODY}\n", "bodies", id="bodies"),
        pytest.param('{"started_at":"t","body":{}}\n{"started_at":"t","body":{}}\n', "bodies", id="wrapped bodies"),
        pytest.param(json.dumps(json.loads(BODY), indent=2), "body", id="a body over several lines"),
        pytest.param(json.dumps({"log": {"entries": []}}, indent=1), "har", id="a HAR as browsers write it"),
        pytest.param('{"log":{"entries":[]}}', "har", id="a HAR in one line"),
        pytest.param('\ufeff{"log":{}}', "har", id="a byte order mark"),
        pytest.param("SQLite format 3\0more", "captures", id="a database"),
        pytest.param('{"name":"package"}', "other", id="another JSON file"),
        pytest.param("{", "other", id="a start and nothing more"),
        pytest.param("MIT License", "other", id="a licence"),
        pytest.param("", "other", id="empty"),
    ],
)
def test_a_file_is_known_by_its_content(text: str, kind: str, tmp_path: Path) -> None:
    """
    Whatever it is called.
    """
    path = tmp_path / "LICENSE.txt"
    path.write_text(text)

    assert kind_of(path) == kind


def test_a_transcript_is_one_from_its_first_line(tmp_path: Path) -> None:
    """
    As the client writes it.
    """
    assert kind_of(Transcript("s").user().answer("1", usage()).write(tmp_path)) == "transcript"


def test_what_cannot_be_opened_is_nothing_of_ours(tmp_path: Path) -> None:
    """
    A file that vanished meanwhile ends no run.
    """
    assert kind_of(tmp_path / "gone") == "other"


def test_a_huge_object_over_many_lines_is_not_read_for_this(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    To know a file must not cost more than to read it.
    """
    monkeypatch.setattr(files, "_LONGEST_LINE", 4)
    path = tmp_path / "big.json"
    path.write_text('{\n"log":\n{"entries":[]}}')

    assert kind_of(path) == "other"


def test_each_file_is_found_once(tmp_path: Path) -> None:
    """
    In the order of names, folders walked, though it is named twice or linked.
    """
    for name in ("b/2", "a", "b/1"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x")
    (tmp_path / "link").symlink_to(tmp_path / "a")
    (tmp_path / "dangling").symlink_to(tmp_path / "nothing")

    found = [path.relative_to(tmp_path).as_posix() for path in walk([str(tmp_path), str(tmp_path / "a")])]
    assert found == ["a", "b/1", "b/2"]


def test_a_path_that_is_not_there_is_said(tmp_path: Path) -> None:
    """
    One error, with a way out.
    """
    with pytest.raises(BadInput, match="no such file or folder"):
        list(walk([str(tmp_path / "nothing")]))


def test_a_folder_that_cannot_be_listed_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Skipping it in silence would make every figure too small.
    """

    def refused(path: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(files.os, "scandir", refused)
    with pytest.raises(BadInput, match=r"cannot list .*permission denied"):
        list(walk([str(tmp_path)]))
