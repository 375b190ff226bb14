#!/usr/bin/env bash
# kombu 5.7.0 and redis-py 8.1.0 given the same address of a broker, as an application has it that uses both.
#
# Guess: what `redis.Redis.from_url` takes is an address to kombu as well; Celery hands its `broker_url` on.
# Seen: kombu raises TypeError for the options behind '?' that redis-py takes, all but the ssl_ ones; and it divides an
# address at ';', as a list of brokers, so that a password with a ';' in it, which redis-py takes, is an error whose text
# quotes the part in front. Percent-encoded (%3B) both read the same password.
#   redis-py ('broker', 'secret'), kombu TypeError
#   redis-py ('broker', 'se;cret'), kombu ValueError
#   redis-py ('broker', 'se;cret'), kombu ('broker', 'se;cret')
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check kombu==5.7.0 redis==8.1.0 packaging==26.0
cat > "$folder/try.py" <<'PYTHON'
import sys
import redis
from kombu import Connection


def read(address):
    kwargs = redis.Redis.from_url(address).connection_pool.connection_kwargs
    theirs = (kwargs["host"], kwargs.get("password"))
    try:
        connection = Connection(address)
        return theirs, (connection.hostname, connection.password)
    except Exception as error:
        return theirs, type(error).__name__


seen = [
    read("redis://:secret@broker:6379/0?socket_timeout=5"),
    read("redis://:se;cret@broker:6379/0"),
    read("redis://:se%3Bcret@broker:6379/0"),
]
for line in seen:
    print("redis-py {}, kombu {}".format(*line))
right = ("broker", "se;cret")
sys.exit(not (seen[0][1] == "TypeError" and seen[1][0] == right != seen[1][1] and seen[2] == (right, right)))
PYTHON
"$folder/venv/bin/python" "$folder/try.py"
