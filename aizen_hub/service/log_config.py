"""Logs as JSON lines: one event, one line, nothing of the input unescaped, no secret (R98, R99)."""

from __future__ import annotations

import json
import logging
import sys
import traceback
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, TextIO

MAX_TEXT = 500


class JsonLines(logging.Formatter):
    """Formats a record as one JSON object.

    Of an exception the class and the places are shown, not its message: messages quote what was read, and what was read
    may be a password or a token.
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
            out["places"] = _places(record.exc_info[2])
        return json.dumps(out, ensure_ascii=True, default=str)


def _bounded(value: Any) -> Any:
    return value if value is None or isinstance(value, (bool, int, float)) else str(value)[:MAX_TEXT]


def _places(trace: TracebackType | None) -> list[str]:
    return [
        f"{frame.filename.rpartition('/')[2]}:{frame.lineno} {frame.name}" for frame in traceback.extract_tb(trace)
    ][-12:]


def configure(level: str = "INFO", stream: TextIO | None = None) -> None:
    """Send every record of this process to one stream as JSON lines."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonLines())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    logging.captureWarnings(True)
    # Tornado logs requests and refused bodies with their content; ours are logged by the handler.
    logging.getLogger("tornado.access").setLevel("ERROR")
    logging.getLogger("tornado.general").setLevel("ERROR")
