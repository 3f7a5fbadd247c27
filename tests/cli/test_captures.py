"""
`savemode captures`, and what a whole run leaves on disk.
"""

import json
import stat
import sys
import zlib
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from savemode_cli.captures.jsonl import read_line
from savemode_cli.captures.store import CaptureStore
from savemode_cli.config import user_captures
from savemode_cli.core.budget.charge import Settlement
from savemode_cli.core.exchange.capture import Capture
from tests.builders import an_exchange
from tests.captures.test_har import exported
from tests.captures.test_store import damage, fresh
from tests.conftest import FLAG
from tests.core.exchange.test_capture import a_capture
from tests.support.command import Run, error_line, lines
from tests.support.processes import SAVEMODE, post, running, serving
from tests.support.trusting import trusted_config
from tests.support.upstream import Upstream

NOW = datetime.now(UTC)


@pytest.fixture
def folder() -> Path:
    """
    The user's own folder, with three captures: eight days old, one day old, and of now.
    """
    folder = user_captures()
    store = CaptureStore.make(folder)
    for number, days in enumerate((8, 1, 0)):
        exchange = an_exchange(
            id=f"req_sm_{number}",
            started_at=NOW - timedelta(days=days),
            session=f"{number}bcdef0123456789",
            settlement=Settlement(12_345_678, "reported"),
            request_bytes=1_234_567,
        )
        store.append(Capture(exchange, exchange.started_at, request_body=b'{"n":%d}' % number, response_body=b"yes"))
    store.close()
    return folder


def test_list(savemode: Run, folder: Path) -> None:
    """
    One line an exchange, the newest last, and what there is in all.
    """
    done = savemode("captures", "list")

    head, *rows, total = lines(done.out)
    assert head.split() == ["no.", "started", "(UTC)", "model", "status", "sent", "got", "cost", "session"]
    assert [row.split()[0] for row in rows] == ["1", "2", "3"]
    assert rows[2].split()[3:] == ["opus-5-5", "200", "1.2", "MB", "50", "B", "$0.0123", "2bcdef0123456789"]
    assert total.startswith("3 exchanges of 3 sessions, 30 B of bodies in ")


@pytest.mark.parametrize(
    ("words", "numbers"),
    [
        (["--last", "2"], [2, 3]),
        (["--last", "0"], [1, 2, 3]),
        (["--since", "2d"], [2, 3]),
        (["--until", "12h"], [1, 2]),
        (["--since", f"{NOW - timedelta(days=2):%Y-%m-%d}"], [2, 3]),
        (["--session", "1b"], [2]),
        (["--model", "another"], []),
    ],
)
def test_list_for_machines(savemode: Run, folder: Path, words: list[str], numbers: list[int]) -> None:
    """
    The same exchanges, as request lines have them, whatever is asked for.
    """
    read = json.loads(savemode("captures", "list", "--json", *words).out)

    assert [row["number"] for row in read["rows"]] == numbers
    assert (read["schema_version"], read["exchanges"], read["kept_bytes"]) == (1, 3, 30)


def test_empty_store_is_listed(savemode: Run) -> None:
    """
    A head and a zero.
    """
    CaptureStore.make(user_captures()).close()

    assert savemode("captures", "list").out.splitlines()[-1].startswith("0 exchanges of 0 sessions")


def test_no_store_is_one_error(savemode: Run, tmp_path: Path) -> None:
    """
    With the way to one.
    """
    done = savemode("captures", "list", "--dir", str(tmp_path / "none"))

    assert "there are no captures at" in error_line(done)
    assert "serve --capture" in done.err


def test_show(savemode: Run) -> None:
    """
    What the request line said, the edits, the receipt and the headers; not what was said.
    """
    store = CaptureStore.make(user_captures())
    number = store.append(a_capture())
    store.close()

    out = " ".join(savemode("captures", "show", str(number)).out.split())

    for part in (
        "1 (req_sm_1)",
        "POST /v1/messages, 100 B",
        "claude-opus-5-5, answered by claude-haiku-4-5",
        "4 read from the cache, 2 written for 5 minutes, 3 for 1 hour, 1 uncached input, 5 output",
        "<$0.0001 (reported by the API; the price is that of the model's plain name)",
        "saved <$0.0001; why",
        "anthropic-beta: a,b",
        "request-id: req_up",
        "system.0.cache_control",
    ):
        assert part in out
    assert "the answer" not in out


def test_show_by_the_request_s_id(savemode: Run, folder: Path) -> None:
    """
    As request lines name it.
    """
    read = json.loads(savemode("captures", "show", "req_sm_1", "--json").out)

    assert (read["number"], read["id"], read["request_kept_bytes"]) == (2, "req_sm_1", 7)


@pytest.mark.parametrize(("which", "body"), [("request", b"the request"), ("response", b"the answer")])
def test_show_gives_bodies_out_as_bytes(capfdbinary: pytest.CaptureFixture[bytes], which: str, body: bytes) -> None:
    """
    Byte for byte, and nothing else.
    """
    store = CaptureStore.make(user_captures())
    store.append(a_capture())
    store.close()

    assert run_here("captures", "show", "1", "--body", which) == 0
    assert capfdbinary.readouterr().out == body


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["show", "99"], "there is no exchange 99"),
        (["show", "req_sm_99"], "there is no exchange 'req_sm_99'"),
        (["show", "1", "--body", "x"], "must be one of request, sent, response"),
        (["list", "--since", "soon"], "--since 'soon' is not a time"),
        (["list", "--since", "forever"], "--since 'forever' is not a time"),
        (["list", "--since", "1d", "--until", "2d"], "--until is not after --since"),
        (["export", "--har", "--session", ""], "--session is empty"),
        (["export", "--har", "--out", " "], "--out is empty"),
        (["export"], "give either --har or --jsonl"),
        (["export", "--har", "--jsonl"], "give either --har or --jsonl"),
        (["export", "--har", "--out", "no/such/folder/x.har"], "cannot write no/such/folder/x.har"),
        (["prune"], "give either --older-than or --all"),
        (["prune", "--all", "--older-than", "7d"], "give either --older-than or --all"),
        (["prune", "--older-than", "x"], "--older-than 'x' is not a time"),
    ],
)
def test_misuse_is_one_error(savemode: Run, folder: Path, words: list[str], found: str) -> None:
    """
    What was found, and a way out.
    """
    assert found in error_line(savemode("captures", *words))
    assert len(fresh(folder)) == 3


def test_advice_names_the_option_that_was_wrong(savemode: Run, folder: Path) -> None:
    """
    `--older-than` takes an age only, and `--since` also a time.
    """
    assert savemode("captures", "prune", "--older-than", "x").err.endswith("  for example --older-than 7d or 12h\n")
    assert savemode("captures", "list", "--since", "x").err.endswith(
        "for example --since 7d, 12h or 2026-11-24T12:30\n"
    )


def test_show_what_would_change(savemode: Run) -> None:
    """
    The report of diff-request on a stored request, judged by what was recorded of it.
    """
    store = CaptureStore.make(user_captures())
    store.append(a_capture(request_body=BODY, exchange=an_exchange(product="posthog_code")))
    store.append(a_capture(request_body=BODY, exchange=an_exchange(product="wizard")))
    store.append(a_capture(request_body=BODY, exchange=an_exchange(path="/v1/messages/count_tokens")))
    store.append(a_capture(request_body=None))
    store.close()

    said = savemode("captures", "show", "1", "--diff").out
    assert said.startswith("capture 1  ")
    assert "@@ system.0.cache_control" in said
    assert "product wizard is not idle-prone" in savemode("captures", "show", "2", "--diff").out
    read = json.loads(savemode("captures", "show", "2", "--diff", "--ttl-policy", "always", "--json").out)
    assert (read["product"], len(read["edits"])) == ("wizard", 1)
    assert "is not a model call" in error_line(savemode("captures", "show", "3", "--diff"))
    assert "its body was not recorded" in error_line(savemode("captures", "show", "4", "--diff"))
    assert "cannot be used together" in error_line(savemode("captures", "show", "1", "--diff", "--body", "sent"))


def test_body_that_was_not_kept(savemode: Run) -> None:
    """
    Is said to be none.
    """
    store = CaptureStore.make(user_captures())
    store.append(a_capture(request_body=None))
    store.close()

    assert "no sent body" in error_line(savemode("captures", "show", "1", "--body", "sent"))


def run_here(*words: str) -> int:
    """
    A command in this process whose output is bytes.
    """
    from savemode_cli.cli import main

    before, sys.argv = sys.argv, ["savemode", *words]
    try:
        main()
    except SystemExit as left:
        return int(left.code or 0)
    finally:
        sys.argv = before


def test_export_har(savemode: Run, folder: Path) -> None:
    """
    A file that others read and nobody else may; what is asked for, and no more.
    """
    done = savemode("captures", "export", "--har", "--out", "out.har", "--since", "2d")

    assert (done.code, done.out) == (0, "")
    assert done.err == "2 exchanges written to out.har; the file contains your prompts\n"
    assert stat.S_IMODE(Path("out.har").stat().st_mode) == 0o600
    entries = json.loads(Path("out.har").read_text())["log"]["entries"]
    assert [one["request"]["postData"]["text"] for one in entries] == ['{"n":1}', '{"n":2}']
    assert len(exported(*fresh(folder))) == 3
    assert [one.name for one in Path().iterdir()] == ["out.har"]


def test_export_jsonl_reads_back(folder: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    """
    To standard output, a line an exchange, each of which is the capture.
    """
    assert run_here("captures", "export", "--jsonl") == 0

    found = capfdbinary.readouterr().out.splitlines()
    assert [read_line(one) for one in found] == fresh(folder)
    assert [json.loads(one)["body"] for one in found] == [{"n": 0}, {"n": 1}, {"n": 2}]


def test_export_leaves_out_and_names_what_is_damaged(savemode: Run, folder: Path) -> None:
    """
    The rest goes on.
    """
    damage(folder, "UPDATE exchanges SET record = x'00' WHERE id = 2")

    done = savemode("captures", "export", "--har", "--out", "out.har")

    assert "warning: exchange 2 is left out: a capture is damaged" in done.err
    assert len(json.loads(Path("out.har").read_text())["log"]["entries"]) == 2


def test_har_is_read_by_diff_request(savemode: Run) -> None:
    """
    An export of ours is a HAR to our own reader.
    """
    store = CaptureStore.make(user_captures())
    store.append(a_capture(request_body=b'{"model":"m","messages":[]}'))
    store.close()
    savemode("captures", "export", "--har", "--out", "out.har")

    assert savemode("diff-request", "out.har").code == 0


def test_prune(savemode: Run, folder: Path) -> None:
    """
    By age, then all.
    """
    assert savemode("captures", "prune", "--older-than", "7d").err == "1 exchange removed, 2 left\n"
    read = json.loads(savemode("captures", "prune", "--all", "--json").out)
    assert (read["removed"], read["exchanges"]) == (2, 0)


def test_folder_of_the_configuration(savemode: Run, tmp_path: Path) -> None:
    """
    What `serve` was told to write, the commands read.
    """
    trusted_config(f'capture = "{tmp_path / "elsewhere"}"')
    CaptureStore.make(tmp_path / "elsewhere").close()

    assert savemode("captures", "list").code == 0


SECRETS = (
    "planted-key",
    "planted-bearer",
    "planted-cookie",
    "planted-query",
    "planted-token",
    "planted-person",
    "planted-set",
)
HEADERS = [
    ("x-api-key", "sk-ant-planted-key"),
    ("authorization", "Bearer planted-bearer"),
    ("cookie", "session=planted-cookie"),
    ("x-savemode-token", "planted-token"),
    ("x-posthog-property-email", "planted-person"),
    *FLAG.items(),
]
BODY = (
    b'{"model":"claude-opus-5-5","max_tokens":9,"system":[{"type":"text","text":"the-prompt-that-was-asked-to-be-kept",'
    b'"cache_control":{"type":"ephemeral"}}],"messages":[{"role":"user","content":"hi"}]}'
)


def test_run_leaves_no_credential_on_disk(upstream: Upstream, tmp_path: Path) -> None:
    """
    Every byte of the store and of both exports, after a whole run: no key, no cookie, no query; and the banner has said
    that prompts are kept.
    """
    from tests.support.upstream import reply

    async def script(_received: Any, writer: Any) -> None:
        writer.write(reply(headers=(("content-type", "application/json"), ("set-cookie", "planted-set"))))

    upstream.script = script
    folder = tmp_path / "kept"
    with serving(upstream.url, "--capture", str(folder), "--ttl-policy", "always") as (one, url):
        for path in ("", "?beta=true&key=planted-query"):
            status, _ = post(f"{url}", BODY, HEADERS) if not path else post_query(url, path)
            assert status == 200
        one.err.wait_for("captures ")
        one.end()
    files = list(folder.iterdir())
    exports = [tmp_path / "out.har", tmp_path / "out.jsonl"]
    for export in exports:
        run_here("captures", "export", f"--{export.suffix[1:]}", "--dir", str(folder), "--out", str(export))

    assert "contain your prompts" in " ".join(one.err.all().split())
    assert len(fresh(folder)) == 2
    for file in (*files, *exports):
        content = file.read_bytes()
        assert not [secret for secret in SECRETS if secret.encode() in content], file.name
    assert all(b"the-prompt-that-was-asked-to-be-kept" in path.read_bytes() for path in exports)
    # The store's own bytes are compressed: what it gives back is searched, too.
    text = repr([(one, one.request_headers, one.response_headers) for one in fresh(folder)])
    assert not [secret for secret in SECRETS if secret in text]


def post_query(url: str, query: str) -> tuple[int, bytes]:
    """
    The same call with a query.
    """
    import urllib.request

    request = urllib.request.Request(f"{url}/v1/messages{query}", BODY, dict(HEADERS))
    with urllib.request.urlopen(request) as answer:
        return answer.status, answer.read()


def test_nothing_is_kept_unless_asked_for(upstream: Upstream) -> None:
    """
    Off is off.
    """
    with serving(upstream.url) as (_, url):
        post(url, BODY)

    assert not user_captures().exists()


def test_bare_flag_keeps_in_the_user_s_folder(upstream: Upstream) -> None:
    """
    `--capture` without a value, before another option and at the end; for `run` as for `serve`.
    """
    call = "import os, urllib.request as u; u.urlopen(os.environ['ANTHROPIC_BASE_URL'] + '/v1/messages', b'{}').read()"
    with running(
        *SAVEMODE, "run", "--upstream", upstream.url, "--capture", "--keep", "7d", "--", sys.executable, "-c", call
    ) as one:
        assert one.end(None) == 0
        assert "kept for 7d; captures contain your prompts" in one.err.all()
    with serving(upstream.url, "--capture") as (second, url):
        post(url, b"{}")
        second.end()

    assert len(fresh(user_captures())) == 2


def test_unsafe_folder_ends_the_command_at_once(savemode: Run, tmp_path: Path) -> None:
    """
    One error, before a port is opened.
    """
    open_to_all = tmp_path / "open"
    open_to_all.mkdir()
    open_to_all.chmod(0o777)

    done = savemode("serve", "--port", "0", "--capture", str(open_to_all))

    assert "other users can write" in error_line(done)


def test_captures_that_cannot_be_written_are_not_announced(tmp_path: Path) -> None:
    """
    Neither `serve` nor `run` says that captures are kept where nothing can be.
    """
    folder = tmp_path / "captures"
    folder.mkdir(mode=0o700)
    (folder / "captures.sqlite3").write_text("no database at all " * 100)
    options = ("--capture", str(folder))

    with serving("simulated", *options) as (one, _):
        one.end()
    with running(*SAVEMODE, "run", "--upstream", "simulated", *options, "--", "true") as ran:
        assert ran.end(None) == 0

    for said in (one.err.all(), ran.err.all()):
        assert "captures_unavailable" in said
        assert "which cannot be written: nothing is captured" in said
        assert "kept for" not in said


def test_export_that_cannot_be_written(savemode: Run, tmp_path: Path) -> None:
    """
    The cause and a way out.
    """
    store = CaptureStore.make(user_captures())
    store.append(a_capture())
    store.close()

    done = savemode("captures", "export", "--har", "--out", str(tmp_path / "none" / "x.har"))

    assert error_line(done).endswith("x.har: no such file or directory [bad_input]")
    assert "--out" in done.err


def test_folders_of_the_data_are_private(upstream: Upstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Ledger, captures and whatever is missing above them: made by `serve`, read by nobody else.
    """
    home = tmp_path / "new" / "home"
    monkeypatch.setenv("XDG_DATA_HOME", str(home / "share"))
    with serving(upstream.url, "--capture") as (server, url):
        post(url, b"{}")
        server.end()
    made = [home.parent, home, *(one for one in home.rglob("*") if one.is_dir())]

    assert (home / "share" / "savemode" / "captures").is_dir()
    assert {stat.S_IMODE(one.stat().st_mode) for one in made} == {0o700}


@pytest.mark.parametrize("nested", [100, 100_000])
def test_a_record_of_somebody_else_s_is_one_error(savemode: Run, folder: Path, nested: int) -> None:
    """
    Nested deeply, it is left out of the list and named; asked for, it is an error. No traceback, and the others are there.
    """
    record = zlib.compress(b'{"schema":1,"budget":' + b"[" * nested + b"]" * nested + b"}")
    damage(folder, "UPDATE exchanges SET record = ? WHERE id = 2", record)
    listed, shown = savemode("captures", "list", "--json"), savemode("captures", "show", "2")

    assert listed.code == 0
    assert [row["number"] for row in json.loads(listed.out)["rows"]] == [1, 3]
    assert listed.err.startswith("warning: exchange 2 is left out: a capture ")
    assert error_line(shown).startswith("error: a capture ")
    for command in (["captures", "export", "--jsonl", "--out", "x"], ["replay", str(folder)]):
        assert savemode(*command).code == 0
