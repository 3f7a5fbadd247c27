#!/usr/bin/env bash
# ccusage 20.0.24, aiburn 0.4.5 and claude-session-diagnostics 1.1.0 leave out costs that a transcript states.
#
# A line of a Claude Code transcript holds the usage of the API. An advisor's tokens stand in usage.iterations, with the
# advisor's model, and are billed beside the totals; inference_geo "us" makes every token 10 % dearer. None of the three
# reads either field, and cctrack 0.11.0 reads the advisor only. All four read "speed": "fast", which doubles the price,
# so the sum looks as if it followed the bill.
#
# Seen on 2026-11-29, 100,000 tokens of claude-opus-4-8 in USD (advisor: 100,000 more of claude-opus-5-5):
#   list price: plain 0.5, fast 1, us 0.55, advisor 0.9
#   ccusage: plain 0.5, fast 1, us 0.5, advisor 0.5
#   aiburn: plain 0.5, fast 1, us 0.5, advisor 0.5
#   claude-session-diagnostics: plain 0.5, fast 1, us 0.5, advisor 0.5
#   cctrack: plain 0.5, fast 1, us 0.5, advisor 0.9
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install -q aiburn==0.4.5 claude-session-diagnostics==1.1.0 cctrack==0.11.0
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
TOKENS = {"input_tokens": 100_000, "output_tokens": 0, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0}
ADVISOR = {"type": "advisor_message", "model": "claude-opus-5-5", **TOKENS}
ANSWERS = {
    "plain": {},
    "fast": {"speed": "fast"},
    "us": {"inference_geo": "us"},
    "advisor": {"iterations": [{"type": "message", **TOKENS}, ADVISOR]},
}
WINDOW = ["--since", "2026-11-27T00:00:00Z", "--until", "2026-11-29T00:00:00Z"]
TRACKERS = {
    "ccusage": (["node_modules/.bin/ccusage", "daily", "--offline", "--json"], lambda it: it["totals"]["totalCost"]),
    "aiburn": (["venv/bin/aiburn", "daily", "--claude", "--json"], lambda it: it["groups"][0]["cost"]),
    "claude-session-diagnostics": (["venv/bin/csd", "export"], lambda it: it[0]["cost"]),
    "cctrack": (["venv/bin/cctrack", "--json", *WINDOW], lambda it: it["sessions"][0]["cost_usd"]),
}


def write(extra):
    message = {"id": "msg_1", "type": "message", "role": "assistant", "model": "claude-opus-4-8",
               "content": [{"type": "text", "text": "Hello"}], "stop_reason": "end_turn",
               "usage": {**TOKENS, "service_tier": "standard", **extra}}
    line = {"parentUuid": None, "isSidechain": False, "userType": "external", "cwd": "/made-up", "sessionId": SESSION,
            "version": "2.1.332", "type": "assistant", "timestamp": "2026-11-28T10:00:00.000Z", "requestId": "req_1",
            "uuid": "22222222-2222-4222-8222-222222222222", "message": message}
    text = json.dumps(line, separators=(",", ":")) + "\n"
    pathlib.Path(f".claude/projects/-made-up/{SESSION}.jsonl").write_text(text)


def cost(tracker):
    command, total = TRACKERS[tracker]
    return total(json.loads(subprocess.run(command, capture_output=True, check=True).stdout))


seen = {tracker: {} for tracker in TRACKERS}
for answer, extra in ANSWERS.items():
    write(extra)
    for tracker in TRACKERS:
        seen[tracker][answer] = f"{cost(tracker):g}"
print("list price: plain 0.5, fast 1, us 0.55, advisor 0.9")
for tracker, costs in seen.items():
    print(f"{tracker}: " + ", ".join(f"{answer} {found}" for answer, found in costs.items()))
low, half = ["0.5", "1", "0.5", "0.5"], ["0.5", "1", "0.5", "0.9"]
sys.exit([list(costs.values()) for costs in seen.values()] != [low, low, low, half])
PY
python3 observe.py
