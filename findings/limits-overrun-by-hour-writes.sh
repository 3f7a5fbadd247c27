#!/usr/bin/env bash
# budget-guard-llm 0.1.2 and llm-cost-governor 0.7.0 let through 60 % more than their limit where the cache lives an hour.
#
# Both are spending limits inside the program: they price each answer and refuse the next call when the limit is reached.
# They have one price for cache writes, that of five minutes (1.25 times the input price), and do not read the split by
# lifetime, although a one-hour write costs 2 times. The calls that are refused too late are the dearest ones.
#
# Seen on 2026-11-29, a limit of 1 USD, answers of claude-opus-5-5 that write 12,500 tokens for one hour, 0.1 USD each:
#   budget-guard-llm: 16 calls, list price 1.6 USD
#   llm-cost-governor: 16 calls, list price 1.6 USD
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q anthropic==2.14.0 budget-guard-llm==0.1.2 llm-cost-governor==0.7.0
export HOME=$folder PYTHONPATH=$here PYTHONDONTWRITEBYTECODE=1
unset XDG_CACHE_HOME XDG_CONFIG_HOME XDG_DATA_HOME
"$folder/venv/bin/python" - <<'PY'
import itertools
import sys

import anthropic
from budget_guard import BudgetExceeded as GuardExceeded
from budget_guard import BudgetGuard
from llm_cost_governor.budget import BudgetExceeded as ScopeExceeded
from llm_cost_governor.budget import ScopeBudget, ScopeBudgetHook
from llm_cost_governor.wrapper import guarded_call
from upstream import serve

WRITTEN = {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 12_500}
USAGE = {"input_tokens": 0, "output_tokens": 0, "cache_creation_input_tokens": 12_500, "cache_read_input_tokens": 0}
upstream = serve({**USAGE, "cache_creation": WRITTEN})
client = anthropic.Anthropic(api_key="sk-ant-made-up", base_url=upstream.url)
guard = BudgetGuard(limits={"daily_total": 1}, loop_detection=None)
guarded = guard.wrap(client)
hook = ScopeBudgetHook(ScopeBudget(1.0))


def ask(number):
    return {"model": "claude-opus-5-5", "max_tokens": 1, "messages": [{"role": "user", "content": f"Hi {number}"}]}


def calls_until_refused(call):
    before = len(upstream.requests)
    try:
        for number in itertools.count():
            call(number)
    except (GuardExceeded, ScopeExceeded):
        return len(upstream.requests) - before


seen = [
    calls_until_refused(lambda number: guarded.messages.create(**ask(number))),
    calls_until_refused(lambda number: guarded_call(client, provider="anthropic", hooks=[hook], **ask(number))),
]
for name, calls in zip(("budget-guard-llm", "llm-cost-governor"), seen):
    print(f"{name}: {calls} calls, list price {calls * 12_500 * 8 / 1e6:g} USD")
sys.exit(seen != [16, 16])
PY
