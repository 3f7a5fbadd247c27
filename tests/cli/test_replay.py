"""
`savemode replay`, as a person runs it.
"""

import json
import sys
from pathlib import Path

import pytest

from tests.support.command import Run, error_line, lines
from tests.support.transcripts import a_session


@pytest.fixture
def recorded(tmp_path: Path) -> Path:
    """
    A folder of ten sessions with pauses.
    """
    folder = tmp_path / "projects" / "-home-me-work"
    for number in range(10):
        a_session(f"session-{number}", [600, 700, 10, 800]).write(folder)
    (folder / "notes.md").write_text("not ours")
    return folder.parent


def test_it_prints_and_advises(savemode: Run, recorded: Path) -> None:
    """
    On 80 columns, nothing on stderr, the recommendation last.
    """
    done = savemode("replay", str(recorded))

    said = lines(done.out)
    assert (done.code, done.err) == (0, "")
    assert said[0] == "10 sessions, 50 requests on 2026-11-24"
    assert any(line.startswith("Keep the cache for 1 hour: ") for line in said)


def test_for_machines(savemode: Run, recorded: Path) -> None:
    """
    One object; several processes give the same.
    """
    one = json.loads(savemode("replay", str(recorded), "--json").out)
    two = json.loads(savemode("replay", str(recorded), "--json", "--jobs", "2").out)

    assert one == two
    assert (one["sessions"], one["ignored_files"], one["product"]) == (10, 1, "llm_gateway")


@pytest.mark.parametrize(
    ("words", "requests"),
    [
        (["--since", "2026-11-24"], 50),
        (["--since", "2026-11-25"], 0),
        (["--until", "2026-11-24"], 50),
        (["--until", "2026-11-24T12:00:01Z"], 10),
        (["--until", "2026-11-24T13:00:01+01:00"], 10),
        (["--session", "session-3"], 5),
        (["--model", "opus"], 50),
        (["--model", "haiku"], 0),
    ],
)
def test_what_is_counted(savemode: Run, recorded: Path, words: list[str], requests: int) -> None:
    """
    Days are whole and in UTC.
    """
    assert json.loads(savemode("replay", str(recorded), "--json", *words).out)["requests"] == requests


def test_the_product_decides(savemode: Run, recorded: Path) -> None:
    """
    An idle-prone one is raised.
    """
    data = json.loads(savemode("replay", str(recorded), "--json", "--product", "posthog_code").out)

    assert data["product_idle_prone"] is True
    assert data["policies"]["product"] == data["policies"]["1h"]


def test_a_price_of_ones_own(savemode: Run, recorded: Path, tmp_path: Path) -> None:
    """
    Wins, as everywhere.
    """
    prices = tmp_path / "prices.toml"
    prices.write_text('[[price]]\nmodel = "claude-opus-5-5"\ninput = 400\noutput = 900\n')
    cheap = json.loads(savemode("replay", str(recorded), "--json").out)["policies"]["recorded"]["cost_nusd"]
    dear = json.loads(savemode("replay", str(recorded), "--json", "--price-file", str(prices)).out)

    assert dear["policies"]["recorded"]["cost_nusd"] > 90 * cheap


def test_a_picture(savemode: Run, recorded: Path, tmp_path: Path) -> None:
    """
    Beside what is printed.
    """
    file = tmp_path / "cost.svg"
    done = savemode("replay", str(recorded), "--plot", str(file))

    assert done.code == 0
    assert file.read_text().startswith("<svg ")
    assert done.out.startswith("10 sessions")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--since", "yesterday"], "--since 'yesterday' is not a day or a time"),
        (["--until", "9999-12-31"], "--until '9999-12-31' is not a day or a time"),
        (["--since", "2026-11-24", "--until", "2026-11-23"], "--until is not after --since"),
        (["--session", ""], "--session is empty"),
        (["--model= "], "--model is empty"),
        ([""], "an argument is empty"),
        (["--plot", "a.gif"], "--plot a.gif does not end in .svg"),
        (["--plot", "nowhere/a.svg"], "cannot write nowhere/a.svg: no such file or directory"),
        (["--jobs", "0"], "'--jobs'"),
    ],
)
def test_misuse(savemode: Run, recorded: Path, words: list[str], said: str) -> None:
    """
    One line, exit 2.
    """
    assert said in error_line(savemode("replay", str(recorded), *words))


def test_chart_that_cannot_be_written_is_refused_before_reading(savemode: Run, tmp_path: Path) -> None:
    """
    Nothing is read for a chart that nobody will see: the error comes before that of the missing traffic.
    """
    folder = tmp_path / "charts.svg"
    folder.mkdir()

    said = error_line(savemode("replay", str(tmp_path / "nothing"), "--plot", str(folder)))

    assert "it is a folder, or you have no permission to write it" in said


def test_nothing_to_read(savemode: Run, tmp_path: Path) -> None:
    """
    No folder, or nothing in it.
    """
    (tmp_path / "empty").mkdir()

    assert "no such file or folder" in error_line(savemode("replay", str(tmp_path / "nothing")))
    assert "no recorded traffic in 0 files" in error_line(savemode("replay", str(tmp_path / "empty")))


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "it is empty"),
        (b" [1]", "it does not begin with a JSON object"),
        (b'{"model": "x",\n "messages": tru', "it is not JSON: line 2, column 14: expecting value"),
        (b'{\n"a": "\xff"}', "it is not JSON that can be read"),
        (b'{"a": 1}\nnothing', "none of its first objects is a message, is a request body, or contains one"),
        (b'{\n"a":\n1}', "it is not a request body, and does not contain one"),
        (b"SQLite format 3\0" + b"x" * 100, "it is a database, but not a capture store"),
    ],
)
def test_nothing_recorded_says_why(savemode: Run, tmp_path: Path, content: bytes, why: str) -> None:
    """
    What is the matter with the first file, and where in it.
    """
    (tmp_path / "a.json").write_bytes(content)

    said = error_line(savemode("replay", str(tmp_path / "a.json")))

    assert f"no recorded traffic in 1 file; a.json: {why}" in said


def test_check(savemode: Run, recorded: Path, tmp_path: Path) -> None:
    """
    Exit 1 where the model cannot be believed.
    """
    few = a_session("few", [10]).write(tmp_path / "few")

    assert savemode("replay", str(recorded), "--check").code == 0
    assert savemode("replay", str(few), "--check").code == 1
    assert savemode("replay", str(few)).code == 0


def test_a_bar_where_somebody_watches(savemode: Run, recorded: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    On stderr, and gone when it is done.
    """
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    done = savemode("replay", str(recorded), "--json")

    assert json.loads(done.out)["requests"] == 50
