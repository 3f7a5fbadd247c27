#!/usr/bin/env bash
# redis-py 8.1.0 repeats a command whose reply was lost, so an INCRBY counts twice (needs redis-server 7 on the PATH).
#
# Since redis-py 6 a client has three retries by default, and they cover every command, not only connecting: a connection
# that ends, or a reply that is later than the socket's timeout, sends INCRBY once more although the server has done it. A
# counter of money, tokens or requests is then too high, without an error. With `retry=Retry(NoBackoff(), 0)` the program
# gets a ConnectionError and can ask what happened.
#
# Seen on 2026-11-29 with Redis 7.0.15, one INCRBY of 5 whose first reply is lost on the way:
#   default client: returned 10, the server has 10
#   without retries: ConnectionError, the server has 5
set -euo pipefail
folder=$(mktemp -d)
server=
trap '[ -z "$server" ] || kill "$server" 2>/dev/null; rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q redis==8.1.0
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
redis-server --port "$port" --bind 127.0.0.1 --save "" --dir "$folder" >/dev/null &
server=$!
"$folder/venv/bin/python" - "$port" <<'PY'
import socket
import sys
import threading
import time

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

SERVER = int(sys.argv[1])


def lossy_way(lost):
    """A port whose connections end when the reply to the first INCRBY comes back."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve():
        while True:
            client, _ = listener.accept()
            threading.Thread(target=carry, args=(client,), daemon=True).start()

    def carry(client):
        server = socket.create_connection(("127.0.0.1", SERVER))
        while data := client.recv(65536):
            server.sendall(data)
            reply = server.recv(65536)
            if b"INCRBY" in data and lost:
                lost.pop()
                client.close()
                return
            client.sendall(reply)

    threading.Thread(target=serve, daemon=True).start()
    return listener.getsockname()[1]


direct = redis.Redis(port=SERVER)
for _ in range(100):
    try:
        direct.ping()
        break
    except redis.ConnectionError:
        time.sleep(0.1)

result = redis.Redis(port=lossy_way([1])).incrby("default", 5)
print(f"default client: returned {result}, the server has {int(direct.get('default'))}")
try:
    redis.Redis(port=lossy_way([1]), retry=Retry(NoBackoff(), 0)).incrby("without", 5)
    error = "no error"
except redis.ConnectionError:
    error = "ConnectionError"
print(f"without retries: {error}, the server has {int(direct.get('without'))}")
sys.exit((result, int(direct.get("default")), error, int(direct.get("without"))) != (10, 10, "ConnectionError", 5))
PY
