"""Time stamps of stored objects."""

from datetime import UTC, datetime


def now() -> str:
    """Return the current time: UTC in ISO format, seconds."""
    return datetime.now(UTC).isoformat(timespec="seconds")
