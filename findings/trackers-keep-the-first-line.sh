#!/usr/bin/env bash
# claude-session-diagnostics 1.1.0 and claude-tokens 0.2.1 count the output of an answer by its first line.
#
# Claude Code writes one line for each block of an answer, with the same message id, while the answer is still coming.
# The first line then has the output count from the start of the stream, and only the last has the final one. In public
# transcripts of versions 2.0.76 to 2.1.39 the counts of about one in five such answers differ. The two trackers drop
# the later lines as repeats. Output is the dearest kind of token; ccusage 20.0.24 and aiburn 0.4.5 keep the final count.
#
# Seen on 2026-11-29, one answer in two lines that say 1 and 10,000 output tokens:
#   claude-session-diagnostics 1, claude-tokens 1, ccusage 10000, aiburn 10000
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install -q aiburn==0.4.5 claude-session-diagnostics==1.1.0 claude-tokens==0.2.1
npm install --silent --no-audit --no-fund ccusage@20.0.24
export HOME=$folder
unset CLAUDE_CONFIG_DIR XDG_CACHE_HOME XDG_CONFIG_HOME XDG_DATA_HOME
mkdir -p .claude/projects/-made-up
cat >observe.py <<'PY'
import json
import pathlib
import subprocess
import sys

SESSION = "11111111-1111-4111-8111-111111111111"
TRACKERS = {
    "claude-session-diagnostics": (["venv/bin/csd", "export"], lambda it: it[0]["output_tokens"]),
    "claude-tokens": (["venv/bin/claude-tokens", "--from", "2026-11-27", "--json"], lambda it: it["rows"][0]["output"]),
    "ccusage": (["node_modules/.bin/ccusage", "daily", "--offline", "--json"], lambda it: it["totals"]["outputTokens"]),
    "aiburn": (["venv/bin/aiburn", "daily", "--claude", "--json"], lambda it: it["groups"][0]["output"]),
}


def line(number, block, output_tokens):
    usage = {"input_tokens": 10, "output_tokens": output_tokens, "cache_creation_input_tokens": 0,
             "cache_read_input_tokens": 0, "service_tier": "standard"}
    message = {"id": "msg_1", "type": "message", "role": "assistant", "model": "claude-opus-4-5-20251101",
               "content": [block], "stop_reason": None, "usage": usage}
    return {"parentUuid": None, "isSidechain": False, "userType": "external", "cwd": "/made-up", "sessionId": SESSION,
            "version": "2.1.39", "type": "assistant", "timestamp": f"2026-11-28T10:00:0{number}.000Z",
            "requestId": "req_1", "uuid": f"22222222-2222-4222-8222-22222222222{number}", "message": message}


lines = [
    line(1, {"type": "thinking", "thinking": "Hm", "signature": "made-up"}, 1),
    line(2, {"type": "text", "text": "Hello"}, 10_000),
]
text = "".join(json.dumps(one, separators=(",", ":")) + "\n" for one in lines)
pathlib.Path(f".claude/projects/-made-up/{SESSION}.jsonl").write_text(text)
seen = {}
for tracker, (command, output) in TRACKERS.items():
    seen[tracker] = output(json.loads(subprocess.run(command, capture_output=True, check=True).stdout))
print(", ".join(f"{tracker} {tokens}" for tracker, tokens in seen.items()))
sys.exit(list(seen.values()) != [1, 1, 10_000, 10_000])
PY
python3 observe.py
