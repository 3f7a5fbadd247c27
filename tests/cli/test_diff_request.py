"""
`savemode diff-request`: finding the body, judging it, showing it, and saying what is wrong with it.
"""

import hashlib
import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from savemode_cli.cli import app
from savemode_cli.core.errors import BadInput
from tests.cases import cases
from tests.support.processes import savemode, savemode_here

BARE = {"type": "ephemeral"}
BODY = (
    b'{"model": "claude-opus-5-5",  "temperature": 1.50, "model": "claude-opus-5-5",\n'
    b' "system": [{"type":"text","text":"\\u00e9 \xc3\xa9","cache_control":{"type":"ephemeral"}}],\n'
    b' "messages": [{"role":"user","content":[{"type":"text","text":"x","cache_control": {"type": "ephemeral"}}]}]}\n'
)
UPGRADED = BODY.replace(b'{"type":"ephemeral"}', b'{"type":"ephemeral","ttl":"1h"}').replace(
    b'{"type": "ephemeral"}', b'{"type": "ephemeral", "ttl": "1h"}'
)
ALWAYS = ("--ttl-policy", "always")


def asked(*arguments: str, stdin: bytes = b"") -> Result:
    """
    Run the command in this process.
    """
    return CliRunner().invoke(app, ["diff-request", *arguments], input=stdin)


def saved(body: bytes, name: str = "body.json") -> str:
    """
    A file in the working directory.
    """
    Path(name).write_bytes(body)
    return name


def there() -> list[str]:
    """
    What lies in the working directory.
    """
    return sorted(one.name for one in Path().iterdir())


def test_report() -> None:
    """
    Markers and why, the changed places, the proofs, and the gate as it is.
    """
    said = asked(saved(BODY), *ALWAYS, "--headers").stdout

    assert said.startswith(f"body.json  {len(BODY)} bytes  model claude-opus-5-5  product llm_gateway\n")
    for expected in (
        "1  system.0              5m   1h    a bare breakpoint",
        "2  messages.0.content.0  5m   1h    a bare breakpoint",
        "@@ system.0.cache_control, byte ",
        '","cache_control":{"type":"ephemeral","ttl":"1h"}}]',
        "+ anthropic-beta: extended-cache-ttl-2025-04-11\n",
        "TTL order  legal",
        f"{len(BODY)} -> {len(UPGRADED)} (+{len(UPGRADED) - len(BODY)})",
        hashlib.sha256(BODY).hexdigest()[:32],
        "reverting the edits gives the original bytes: yes",
        "shown as if open; in this environment it is closed:",
        "no flag llm-gateway-cost-controls",
    ):
        assert expected in said


def test_gate_that_the_config_file_opens() -> None:
    """
    Where the config file has `save`, the gate is open, as it is for `savemode serve` there.
    """
    Path("own.toml").write_text("save = true\n")

    said = " ".join(asked(saved(BODY), "--config", "own.toml").stdout.split())

    assert "shown as if open; in this environment it is open: --save" in said


def test_no_beta_header() -> None:
    """
    With the option no header is announced.
    """
    assert "anthropic-beta" not in asked(saved(BODY), *ALWAYS, "--headers", "--no-beta-header").stdout


def test_nothing_to_change() -> None:
    """
    Where a whole request is left alone, the report says why and shows no change.
    """
    said = asked(saved(BODY)).stdout

    assert "nothing is edited: product llm_gateway is not idle-prone" in said
    assert "@@" not in said


def test_star_is_explained() -> None:
    """
    What the client spelled out is starred, and the star has its legend.
    """
    said = asked(saved(UPGRADED), *ALWAYS).stdout

    assert "1h*" in said
    assert "* spelled out by the client" in said
    assert "*" not in asked(saved(BODY), *ALWAYS).stdout


def test_stdin() -> None:
    """
    `-` reads stdin, and the report calls it so.
    """
    done = asked("-", *ALWAYS, stdin=BODY)

    assert done.stdout.startswith("stdin  ")
    assert done.exit_code == 0


def test_stdin_is_called_so_in_an_error() -> None:
    """
    `-:1:1` names no place.
    """
    done = asked("-", stdin=b"{")

    assert isinstance(done.exception, BadInput)
    assert done.exception.message.startswith("stdin:1:")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nowhere.json"], "cannot read nowhere.json: no such file or directory"),
        (["."], "cannot read .: is a directory"),
        (["a\x1b[31m\nb"], "cannot read a\\x1b[31m b: no such file"),
        (["body.json", "--flag", "x"], "--flag 'x' is not NAME=VALUE"),
        (["body.json", "--provider", "azure"], "--provider must be anthropic or bedrock (got 'azure')"),
        (["body.json", "--product", "wizrd"], "unknown product 'wizrd'"),
        (["body.json", "--output", "no/such/folder/x"], "cannot write no/such/folder/x: no such file"),
        (["body.json", "--output", "-", "--json"], "--output - and the report would both go to stdout"),
        (["bad.json"], "bad.json:1:13: not valid JSON: a byte that is not UTF-8"),
    ],
)
def test_misuse(arguments: list[str], said: str) -> None:
    """
    A mistake is one `error:` line and a hint, exit code 2, nothing on stdout, no traceback.
    """
    saved(BODY)
    saved(b'{"messages":\xff}', "bad.json")

    done = savemode_here("diff-request", *arguments)

    first, hint = done.stderr.decode().splitlines()
    assert first.startswith(f"error: {said}")
    assert hint.startswith("  ")
    assert (done.returncode, done.stdout) == (2, b"")


def test_json() -> None:
    """
    `--json` has a schema version, units in its keys, and the proofs.
    """
    report = json.loads(asked(saved(BODY), *ALWAYS, "--json").stdout)

    assert set(report) == {
        "schema_version",
        "name",
        "model",
        "product",
        "ttl_policy",
        "gate",
        "would_change",
        "problem",
        "breakpoints",
        "edits",
        "skips",
        "headers",
        "order_errors_before",
        "order_errors_after",
        "bytes_before",
        "bytes_after",
        "sha256_before",
        "sha256_after",
        "reverts_to_original",
    }
    assert (report["schema_version"], report["would_change"], report["reverts_to_original"]) == (1, True, True)
    assert (report["bytes_before"], report["bytes_after"]) == (len(BODY), len(UPGRADED))
    assert report["sha256_after"] == hashlib.sha256(UPGRADED).hexdigest()
    assert [edit["at_bytes"] for edit in report["edits"]] == [
        BODY.index(b'{"type":"ephemeral"}') + len(b'{"type":"ephemeral"'),
        BODY.index(b'{"type": "ephemeral"}') + len(b'{"type": "ephemeral"'),
    ]


def test_output_is_exact() -> None:
    """
    `--output` writes the bytes that would be sent, duplicate keys, spacing, escapes and all.
    """
    done = asked(saved(BODY), *ALWAYS, "--output", "out.json")

    assert Path("out.json").read_bytes() == UPGRADED
    assert "@@" in done.stdout


def test_output_to_stdout() -> None:
    """
    `--output -` is the bytes and nothing else.
    """
    assert savemode("diff-request", saved(BODY), *ALWAYS, "--output", "-").stdout == UPGRADED


def test_output_replaces_a_file() -> None:
    """
    An old file gives way, keeps its permissions, and no other file is left.
    """
    Path("out.json").write_text("old")
    Path("out.json").chmod(0o640)
    Path("link.json").symlink_to("out.json")

    asked(saved(BODY), *ALWAYS, "--output", "link.json")

    assert Path("out.json").read_bytes() == UPGRADED
    assert Path("link.json").is_symlink()
    assert stat.S_IMODE(Path("out.json").stat().st_mode) == 0o640
    assert there() == ["body.json", "link.json", "out.json"]


def test_new_output_has_ordinary_permissions() -> None:
    """
    A new file can be read by whom the person's own files can be read.
    """
    asked(saved(BODY), *ALWAYS, "--output", "out.json")

    assert Path("out.json").stat().st_mode == Path("body.json").stat().st_mode


def test_output_that_fails_leaves_nothing() -> None:
    """
    Where the output cannot be written, no half of it lies about.
    """
    Path("folder").mkdir()

    done = savemode_here("diff-request", saved(BODY), "--output", "folder")

    assert done.returncode == 2
    assert there() == ["body.json", "folder"]


def test_output_to_a_pipe_is_not_replaced() -> None:
    """
    What is no file (/dev/null, a pipe) is written to and stays what it is.
    """
    os.mkfifo("pipe")
    reader = os.open("pipe", os.O_RDONLY | os.O_NONBLOCK)
    try:
        asked(saved(BODY), *ALWAYS, "--output", "pipe")
        assert os.read(reader, 10_000) == UPGRADED
    finally:
        os.close(reader)
    assert Path("pipe").is_fifo()


def patched(value: Any, patch: list[dict[str, Any]]) -> Any:
    """
    Apply the `add` of RFC 6902.
    """
    for change in patch:
        assert change["op"] == "add"
        *steps, last = [one.replace("~1", "/").replace("~0", "~") for one in change["path"].split("/")[1:]]
        holder = value
        for step in steps:
            holder = holder[int(step) if isinstance(holder, list) else step]
        holder[last] = change["value"]
    return value


def test_patch_gives_what_output_gives() -> None:
    """
    The patch, applied by the book, is the same change as the spliced bytes.
    """
    patch = json.loads(asked(saved(BODY), *ALWAYS, "--json-patch").stdout)

    assert len(patch) == 2
    assert patched(json.loads(BODY), patch) == json.loads(UPGRADED)


@pytest.mark.parametrize(
    ("options", "code"), [(["--check"], 0), (["--check", *ALWAYS], 1), (ALWAYS, 0), (["--check", *ALWAYS, "--json"], 1)]
)
def test_check(options: list[str], code: int) -> None:
    """
    `--check` is 1 where the body would change and 0 where not; without it the answer is no failure.
    """
    assert asked(saved(BODY), *options).exit_code == code


@pytest.mark.parametrize(
    ("options", "on", "why"),
    [
        (["--flag", "llm-gateway-cost-controls=true"], True, "flag llm-gateway-cost-controls is true"),
        (["--flag", "LLM-Gateway-Cost-Controls=no"], False, "flag llm-gateway-cost-controls is not true"),
        (["--flag", "other=true"], False, "no flag llm-gateway-cost-controls"),
        (["--debug"], True, "COST_CONTROLS_ENABLED=true in debug"),
    ],
)
def test_gate(options: list[str], on: bool, why: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    The report says whether the gate would open for a caller with these flags, and why.
    """
    if "--debug" in options:
        monkeypatch.setenv("COST_CONTROLS_ENABLED", "true")

    assert json.loads(asked(saved(BODY), *options, "--json").stdout)["gate"] == {"on": on, "why": why}


def test_provider() -> None:
    """
    On Bedrock a body is left alone unless that is allowed.
    """
    cloud = saved(BODY.replace(b"claude-opus-5-5", b"claude-opus-4-6"))

    closed = json.loads(asked(cloud, *ALWAYS, "--provider", " Bedrock ", "--json").stdout)
    allowed = json.loads(asked(cloud, *ALWAYS, "--provider", "bedrock", "--allow-bedrock", "--json").stdout)

    assert ([skip["code"] for skip in closed["skips"]], len(allowed["edits"])) == (["bedrock"], 2)


@pytest.mark.parametrize("columns", ["", "abc", "0", "-5"])
def test_odd_columns(columns: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A COLUMNS that is no width is not our reader's problem: 80.
    """
    plain = asked(saved(BODY), *ALWAYS).stdout
    monkeypatch.setenv("COLUMNS", columns)

    done = asked(saved(BODY), *ALWAYS)

    assert (done.exit_code, done.stdout) == (0, plain)


def test_large_body_fits_the_screen() -> None:
    """
    A body of a megabyte with four markers is shown in 60 lines of 80 columns.
    """
    turns: list[Any] = [{"role": "user", "content": [{"type": "text", "text": "ünï ☃ " * 40}]} for _ in range(3000)]
    for place in (0, 1500, 2999):
        turns[place]["content"][0]["cache_control"] = BARE
    system = [{"type": "text", "text": "漢字" * 40, "cache_control": BARE}]
    body = json.dumps({"model": "claude-opus-5-5", "system": system, "messages": turns}, ensure_ascii=False).encode()
    assert len(body) > 1_000_000

    lines = asked(saved(body), *ALWAYS, "--headers").stdout.splitlines()

    assert len(lines) <= 60
    assert max(len(line) for line in lines) <= 80
    assert sum(line.startswith("@@") for line in lines) == 4


@pytest.mark.parametrize(("compat", "column"), [("none", "upgraded"), ("upstream", "upgraded_compat")])
@pytest.mark.parametrize("case", cases("upgrade"))
def test_case(case: dict[str, Any], compat: str, column: str) -> None:
    """
    Every case of the table comes out of the command as it stands in the table, and the screen can show it.
    """
    name = saved(json.dumps({"body": case["body"]}).encode())
    options = (name, "--product", case["product"], "--compat", compat)

    report = json.loads(asked(*options, "--json").stdout)

    assert [edit["path"] for edit in report["edits"]] == [
        f"{path}.cache_control.ttl".removeprefix(".") for path in case[column]
    ]
    assert asked(*options).exit_code == 0


def test_a_recording_is_judged_by_its_own_headers_and_product() -> None:
    """
    As `replay` judges it: the product in its path, a subscription, a compressed body; options go before headers.
    """
    records = [
        {"path": "/posthog_code/v1/messages", "body": BODY.decode()},
        {"headers": {"anthropic-beta": "oauth-2025-04-20"}, "body": BODY.decode()},
        {"headers": {"content-encoding": "gzip"}, "body": BODY.decode()},
        {"headers": {"x-posthog-provider": "bedrock"}, "body": BODY.decode()},
    ]
    file = saved("\n".join(map(json.dumps, records)).encode(), "x.jsonl")

    def report(*options: str) -> dict[str, Any]:
        read: dict[str, Any] = json.loads(asked(file, "--json", *options).stdout)
        return read

    def codes(*options: str) -> list[str]:
        return [skip["code"] for skip in report(*options)["skips"]]

    assert (report()["name"], report()["product"], len(report()["edits"])) == ("x.jsonl:1", "posthog_code", 2)
    assert codes("--nth", "2", *ALWAYS) == ["oauth"]
    assert codes("--nth", "2", "--allow-oauth-edits", *ALWAYS) == []
    assert codes("--nth", "3", *ALWAYS) == ["encoded"]
    assert codes("--nth", "4", *ALWAYS) == ["bedrock"]
    assert codes("--nth", "4", "--provider", "anthropic", *ALWAYS) == []


def test_a_beta_header_of_the_record_is_kept() -> None:
    """
    The value is added to, or left alone where it is there.
    """
    for beta, then in (("a", "a,extended-cache-ttl-2025-04-11"), ("extended-cache-ttl-2025-04-11", None)):
        file = saved(json.dumps({"anthropic_beta": beta, "body": BODY.decode()}).encode())
        headers = json.loads(asked(file, "--json", *ALWAYS).stdout)["headers"]

        assert headers == ([] if then is None else [{"name": "anthropic-beta", "before": beta, "after": then}])


def test_records_that_cannot_be_read_are_said() -> None:
    """
    On stderr, the first by its place; the report is of the call that was asked for.
    """
    done = asked(saved(b'{"messages": []}\n{broken\n{"messages": [1]}\n', "x.jsonl"), "--nth", "2")

    assert done.stderr == "warning: 1 record before this call cannot be read; x.jsonl:2: not JSON\n"
    assert done.stdout.startswith("x.jsonl:3  ")
    assert done.exit_code == 0


def test_against_another_request() -> None:
    """
    Where the later one differs, as the cache sees it; `--check` tells whether a prefix was lost.
    """
    saved(BODY, "before.json")
    saved(BODY.replace(b'"x"', b'"y"'), "after.json")
    same = asked("before.json", "--against", "before.json", "--check")
    other = asked("after.json", "--against", "before.json", "--check")
    data = json.loads(asked("after.json", "--against", "before.json", "--json", "--no-text").stdout)

    assert (same.exit_code, other.exit_code) == (0, 1)
    assert "The cache sees no difference." in same.stdout
    assert other.stdout.startswith("after.json  against before.json\n")
    assert "@@ messages[0].content[0]" in other.stdout
    assert "\x1b" not in other.stdout
    assert (data["loses"], data["places"][0]["difference"]) == (True, None)


def test_against_the_request_before() -> None:
    """
    Of the same recording, the one before is the default.
    """
    grown = BODY.replace(b"]}]}", b']},{"role":"assistant","content":"z"},{"role":"user","content":"go on"}]}')
    Path("calls.jsonl").write_bytes(b"".join(body.replace(b"\n", b" ") + b"\n" for body in (BODY, grown)))
    data = json.loads(asked("calls.jsonl", "--nth", "2", "--against", "calls.jsonl", "--json").stdout)

    assert (data["before"]["name"], data["after"]["name"]) == ("calls.jsonl:1", "calls.jsonl:2")
    assert [(place["kind"], place["at"]) for place in data["places"]] == [("appended", "messages[1].content")]
    assert asked("calls.jsonl", "--against", "calls.jsonl", "--against-nth", "2").exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["body.json", "--against-nth", "2"], "need --against"),
        (["body.json", "--against", "body.json", "--headers"], "cannot be used with"),
        (["body.json", "--against", "broken.json"], "broken.json: "),
    ],
)
def test_misuse_of_against(arguments: list[str], said: str) -> None:
    """
    One error.
    """
    saved(BODY)
    saved(b'{"model": "m"}', "broken.json")
    done = savemode_here("diff-request", *arguments)

    assert (done.returncode, done.stdout) == (2, b"")
    assert said in done.stderr.decode()
