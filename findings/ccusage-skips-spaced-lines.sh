#!/usr/bin/env bash
# ccusage 20.0.24 ignores lines of a transcript that have a space after the colons.
#
# A line of JSON may have such spaces, and Python's json.dumps writes them unless told otherwise. A transcript of Claude
# Code that went through a script of one's own, which removed secrets, merged machines or fixed paths, counts as empty.
# There is no warning, and a folder where only some files were rewritten shows a plausible sum that is too low.
#
# Seen on 2026-11-29, three answers of 100,000 input tokens, of which two lines were rewritten:
#   ccusage: 100000 input tokens; without the spaces: 300000
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm install --silent --no-audit --no-fund ccusage@20.0.24
export HOME=$folder CLAUDE_CONFIG_DIR=$folder/claude
unset XDG_CACHE_HOME XDG_CONFIG_HOME XDG_DATA_HOME
mkdir -p claude/projects/-made-up
cat >observe.py <<'PY'
import json
import pathlib
import subprocess
import sys


def line(number):
    usage = {"input_tokens": 100_000, "output_tokens": 1}
    message = {"id": f"msg_{number}", "type": "message", "role": "assistant", "model": "claude-opus-4-5-20251101",
               "content": [{"type": "text", "text": "Hello"}], "usage": usage}
    return {"type": "assistant", "timestamp": "2026-11-28T10:00:00.000Z", "sessionId": "made-up", "version": "2.1.332",
            "cwd": "/made-up", "uuid": f"made-up-{number}", "requestId": f"req_{number}", "message": message}


def tokens(separators):
    lines = [json.dumps(line(1), separators=(",", ":"))] + [json.dumps(line(n), separators=separators) for n in (2, 3)]
    pathlib.Path("claude/projects/-made-up/made-up.jsonl").write_text("\n".join(lines) + "\n")
    command = ["node_modules/.bin/ccusage", "daily", "--offline", "--json"]
    return json.loads(subprocess.run(command, capture_output=True, check=True).stdout)["totals"]["inputTokens"]


seen = tokens((", ", ": ")), tokens((",", ":"))
print("ccusage: {} input tokens; without the spaces: {}".format(*seen))
sys.exit(seen != (100_000, 300_000))
PY
python3 observe.py
