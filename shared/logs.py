"""Structured logs: one JSON object per line on standard error.

Records have the ids of run, stage and unit, or of the request. Nothing that identifies a patient is logged: films
appear
with their id in the data set.
"""

import logging
import sys
import time
from datetime import UTC, datetime

from pythonjsonlogger.json import JsonFormatter

_FIELDS = {"asctime": "time", "levelname": "level", "name": "logger", "message": "message"}
_CHATTY = (
    "botocore",
    "boto3",
    "urllib3",
    "s3transfer",
    "matplotlib",
    "PIL",
    "kombu",
    "fontTools",
    "onnxscript",
    "onnx_ir",
)


class _Formatter(JsonFormatter):
    """Format a record as one object: time, level, logger, message, `extra` and exception."""

    def __init__(self) -> None:
        super().__init__([*_FIELDS], rename_fields=_FIELDS | {"exc_info": "exception"}, json_default=str)

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: ARG002, N802  its name
        """Format the time in UTC, to the millisecond."""
        return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")


def configure_logs(level: str) -> None:
    """Send all logs of this process to standard error as JSON."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Formatter())
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for chatty in _CHATTY:
        logging.getLogger(chatty).setLevel(logging.WARNING)


class Repeats:
    """The repeated reports of one trouble, of which few are logged: the first, and then after 1, 2, 4, ... minutes."""

    def __init__(self) -> None:
        self._text, self._pause, self._next = "", 60.0, 0.0

    def is_due(self, text: str) -> bool:
        """Return whether to log `text` now; another text than the last one always is."""
        now = time.monotonic()
        if text != self._text:
            self._text, self._pause = text, 60.0
        elif now < self._next:
            return False
        else:
            self._pause = min(3600.0, 2 * self._pause)
        self._next = now + self._pause
        return True
