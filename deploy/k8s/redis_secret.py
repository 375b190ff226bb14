#!/usr/bin/env python3
"""Write the Secret `redis` from the broker's URL, and its port and database into an overlay's values.yaml.

    MAMMO_REDIS_URL=rediss://USER:PASSWORD@HOST:6380/3 deploy/k8s/redis_secret.py OVERLAY | kubectl apply -f -

The URL is read from the environment, so that the password stands in no list of processes. It is the only place that
has to be edited: the services use the URL; KEDA takes address, user, password and TLS from the Secret, and the number
of the database from values.yaml; network policies take the port. Standard library alone.
"""

import json
import os
import re
import sys
from pathlib import Path
from urllib.parse import SplitResult, unquote, urlsplit


def parsed(url: str) -> SplitResult:
    """Return the parts of a broker's URL.

    Raises:
        ValueError: it is none that both the services and KEDA can use.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("redis", "rediss") or not parts.hostname:
        raise ValueError("it is not redis://USER:PASSWORD@HOST:PORT/DATABASE, or rediss:// with TLS")
    if not re.fullmatch(r"/?|/\d+", parts.path):
        raise ValueError("after HOST:PORT comes the number of a database, such as /0")
    _ = parts.port  # ValueError: it is no number of a port
    return parts


def values_of(url: str) -> dict[str, str]:
    """Return the values that components take from values.yaml."""
    parts = parsed(url)
    return {"redis-port": str(parts.port or 6379), "redis-database": parts.path.strip("/") or "0"}


def secret_of(url: str) -> dict[str, object]:
    """Return the manifest of the Secret `redis`."""
    parts = parsed(url)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    data = {
        "url": url,
        "address": f"{host}:{parts.port or 6379}",
        "username": unquote(parts.username or ""),
        "password": unquote(parts.password or ""),
        "tls": "enable" if parts.scheme == "rediss" else "disable",
    }
    metadata = {"name": "redis", "namespace": "mammostack"}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": data}


def with_values(document: str, values: dict[str, str]) -> str:
    """Return the text of values.yaml with other values, comments kept.

    Raises:
        ValueError: it lacks one of them.
    """
    for name, value in values.items():
        document, count = re.subn(rf"(?m)^(  {name}: ).*$", rf'\g<1>"{value}"', document)
        if count != 1:
            raise ValueError(f"values.yaml of the overlay has no line for {name}; copy that of overlays/production")
    return document


def main(arguments: list[str]) -> None:
    """Write values.yaml and print the Secret; an error ends it with one line, which never holds the URL."""
    url = os.environ.get("MAMMO_REDIS_URL", "")
    if len(arguments) != 1 or not url:
        raise SystemExit("redis_secret.py: name the folder of an overlay, and set MAMMO_REDIS_URL")
    file = Path(arguments[0]) / "values.yaml"
    try:
        changed, secret = with_values(file.read_text(), values_of(url)), secret_of(url)
    except (OSError, ValueError) as error:
        raise SystemExit(f"redis_secret.py: MAMMO_REDIS_URL or {file} can't be used: {error}") from None
    file.write_text(changed)
    print(json.dumps(secret, indent=1))


if __name__ == "__main__":
    main(sys.argv[1:])
