"""Validate addresses among the settings without quoting them: they hold passwords.

Each check raises ValueError with what is wrong and what to write.
"""

import re
from ipaddress import ip_address
from urllib.parse import SplitResult, parse_qsl, urlsplit

_REDIS_USAGE = (
    "use redis://:PASSWORD@HOST:PORT/DB, and in a password write % as %25, / as %2F, # as %23, ? as %3F, ; as %3B, "
    "[ as %5B and ] as %5D"
)
_REDIS_OPTIONS = {
    "ssl_ca_certs": r".+",
    "ssl_cert_reqs": r"none|optional|required",
    "ssl_certfile": r".+",
    "ssl_check_hostname": r"true|false",
    "ssl_keyfile": r".+",
}
"""Of rediss:// alone: those that kombu takes, with the values that redis-py takes as well."""

_S3_USAGE = "give http(s)://HOST[:PORT]; credentials go into AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
_STORE_USAGE = "give s3://BUCKET[/PREFIX] or a directory"


def check_redis(address: str) -> str:
    """Check the address of a broker, as understood by both Celery and redis-py."""
    parts = _split(address, ("redis", "rediss"), _REDIS_USAGE)
    if ";" in address:  # Celery takes what is behind it for another broker
        raise ValueError(f"holds a ';'; {_REDIS_USAGE}")
    if "#" in address or not re.fullmatch(r"/?|/\d+", parts.path):
        raise ValueError(f"has no database number after its port; {_REDIS_USAGE}")
    known = _REDIS_OPTIONS if parts.scheme == "rediss" else {}
    for name, value in parse_qsl(parts.query, keep_blank_values=True):
        if not re.fullmatch(known.get(name, "(?!)"), value):
            raise ValueError(f"has an unsupported option after its '?'; {_REDIS_USAGE}")
    return address


def check_s3_endpoint(address: str) -> str:
    """Check the address of an S3-compatible server; empty means AWS."""
    if address:
        parts = _split(address, ("http", "https"), _S3_USAGE)
        if "@" in parts.netloc or parts.query or parts.fragment:
            raise ValueError(f"has more than a host, a port and a path; {_S3_USAGE}")
    return address


def check_store(place: str) -> str:
    """Check the address of a store: a bucket with a prefix, or a directory."""
    if place.startswith("s3://") and not re.fullmatch(r"s3://[^/]+(/.*)?", place, re.DOTALL):
        raise ValueError(f"names no bucket; {_STORE_USAGE}")
    if place.startswith("s3://") and not re.fullmatch(r"s3://[A-Za-z0-9._:-]+(/[^\s?#]*)?", place):
        raise ValueError(f"has a character that no bucket or prefix may have; {_STORE_USAGE}")
    if "://" in place and not place.startswith("s3://"):
        raise ValueError(f"has a scheme other than s3://; {_STORE_USAGE}")
    if not place.strip() or "\0" in place:
        raise ValueError(f"is empty; {_STORE_USAGE}")
    return place


def check_host(host: str) -> str:
    """Check a name or an IP address to listen on; remove the brackets of IPv6."""
    host = host.removeprefix("[").removesuffix("]") if host.startswith("[") else host
    if not re.fullmatch(r"[A-Za-z0-9._:%-]+", host):
        raise ValueError("is not a valid host to listen on; give an address such as 127.0.0.1, 0.0.0.0 or ::")
    return host


def netloc(host: str, port: int) -> str:
    """Host and port as they stand in a URL."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def is_loopback(host: str) -> bool:
    """Return whether a host name or an address is of this machine alone."""
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def _split(address: str, schemes: tuple[str, ...], usage: str) -> SplitResult:
    """Split a URL with a host and, optionally, a port from 1 to 65535."""
    if not address.isascii() or not address.isprintable() or " " in address:
        raise ValueError(f"holds a blank, a line break or another character that is invalid in an address; {usage}")
    try:
        parts = urlsplit(address)
        host, port = parts.hostname, parts.port
    except ValueError:  # it quotes what it could not read
        raise ValueError(f"has no valid host and port; {usage}") from None
    if not address.startswith(tuple(f"{scheme}://" for scheme in schemes)):
        raise ValueError(f"does not begin with {' or '.join(f'{scheme}://' for scheme in schemes)}; {usage}")
    if not host or port == 0 or not _is_host(host):
        raise ValueError(f"has no valid host and port; {usage}")
    return parts


def _is_host(host: str) -> bool:
    """Check that a resolver accepts the host: labels of 1 to 63 characters, or IPv6."""
    return ":" in host or all(0 < len(label) < 64 for label in host.rstrip(".").split("."))
