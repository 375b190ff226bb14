"""Structured logs: one JSON object per line on standard error.

Records have the ids of run, stage and unit, or of the request. Nothing that identifies a patient is logged: films
appear
with their id in the data set.
"""

import json
import logging
import sys
import time
from datetime import UTC, datetime
from typing import Any

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
_PLAIN = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}


class JsonFormatter(logging.Formatter):
    """Format a record as one object: time, level, logger, message and `extra`."""

    def format(self, record: logging.LogRecord) -> str:
        entry: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        entry |= {name: value for name, value in record.__dict__.items() if name not in _PLAIN}
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return json.dumps(entry, default=str)


def configure_logs(level: str) -> None:
    """Send all logs of this process to standard error as JSON."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
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
