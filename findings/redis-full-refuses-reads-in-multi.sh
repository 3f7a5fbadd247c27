#!/usr/bin/env bash
# Redis 7.0.15 with full memory refuses GET inside MULTI, although it serves the same GET alone (needs redis-server on the PATH).
#
# `maxmemory-policy noeviction`, which a ledger needs, is documented as: reads go on, writes fail. Inside MULTI, which clients use
# for a consistent picture of several balances, every command is refused, because queueing it needs memory. So a budget that is
# read in a transaction cannot be read any more on a full server. A read-only script (EVAL_RO) reads the same keys in one step.
#
# Seen on 2026-11-29:
#   alone: GET -> 7
#   in MULTI: GET -> OOM command not allowed when used memory > 'maxmemory'.; EXEC -> EXECABORT Transaction discarded because of previous errors.
#   EVAL_RO: GET -> 7
set -euo pipefail
folder=$(mktemp -d)
server=
trap '[ -z "$server" ] || { kill "$server"; wait "$server"; } 2>/dev/null || true; rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q redis==8.1.0
redis-server --version | grep -q ' v=7\.0\.15 ' || { echo "needs redis-server 7.0.15"; exit 1; }
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
redis-server --port "$port" --bind 127.0.0.1 --save "" --dir "$folder" >/dev/null &
server=$!
"$folder/venv/bin/python" - "$port" <<'PY'
import sys

import redis
from redis.backoff import ConstantBackoff
from redis.retry import Retry

# Single commands over one connection: redis-py's own pipelines would raise at the first error.
client = redis.Redis(
    port=int(sys.argv[1]), decode_responses=True, single_connection_client=True, retry=Retry(ConstantBackoff(0.1), 100)
)
client.set("balance", 7)
client.config_set("maxmemory-policy", "noeviction")
client.config_set("maxmemory", 1)


def answer(*words):
    try:
        return str(client.execute_command(*words))
    except redis.ResponseError as error:
        return str(error)


alone = answer("GET", "balance")
client.execute_command("MULTI")
inside, end = answer("GET", "balance"), answer("EXEC")
script = answer("EVAL_RO", "return redis.call('GET', KEYS[1])", 1, "balance")
print(f"alone: GET -> {alone}\nin MULTI: GET -> {inside}; EXEC -> {end}\nEVAL_RO: GET -> {script}")
refused = ("not allowed when used memory" in inside, "EXECABORT" in end or "Transaction discarded" in end)
sys.exit((alone, refused, script) != ("7", (True, True), "7"))
PY
