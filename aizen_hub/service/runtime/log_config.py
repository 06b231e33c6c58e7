"""Logging as JSON lines: one line per event, input always escaped, no secrets (R98, R99)."""

from __future__ import annotations

import json
import logging
import sys
import traceback
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, TextIO

MAX_TEXT = 500


class JsonLineFormatter(logging.Formatter):
    """Formats a record as one JSON object.

    Of an exception the class and the stack are logged, not its message: messages quote input, which may be a secret.
    """

    def format(self, record: logging.LogRecord) -> str:
        out: dict[str, Any] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": record.getMessage()[:MAX_TEXT],
        }
        data = getattr(record, "data", None)
        if isinstance(data, dict):
            out |= {key: _bounded(value) for key, value in data.items() if key not in out}
        if record.exc_info and record.exc_info[0] is not None:
            out["exception"] = record.exc_info[0].__name__
            out["stack"] = _stack(record.exc_info[2])
        return json.dumps(out, ensure_ascii=True, default=str)


def _bounded(value: Any) -> Any:
    return value if value is None or isinstance(value, (bool, int, float)) else str(value)[:MAX_TEXT]


def _stack(trace: TracebackType | None) -> list[str]:
    return [
        f"{frame.filename.rpartition('/')[2]}:{frame.lineno} {frame.name}" for frame in traceback.extract_tb(trace)
    ][-12:]


def configure_logging(level: str = "INFO", stream: TextIO | None = None) -> None:
    """Send every record of this process to one stream as JSON lines."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonLineFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    logging.captureWarnings(True)
