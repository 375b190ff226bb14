"""Structured logs: one JSON object per line on standard error.

Records have the ids of run, stage and unit, or of the request. Nothing that identifies a patient is logged: films
appear
with their id in the data set.
"""

import json
import logging
import sys
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
