"""Events in the core's response, validated: the core is trusted to execute, not with our memory or users' screens."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from aizen_hub.problems import CoreFailed, Problem
from aizen_hub.validation import strict_json

MAX_LINE_BYTES = 256 * 1024
_MAX_MESSAGE = 2_000


class CommandState(StrEnum):
    """How a command ended; only this service sets ``unknown``, when the core did not report the end."""

    DONE = "done"
    FAILED = "failed"
    STOPPED = "stopped"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class CoreEvent:
    """``accepted``, ``progress`` (fraction, message), ``log`` (line) or ``end`` (state, result, message).

    Attributes
    ----------
    unknown_to_core : bool
        For an ``unknown`` end: the core answered that it does not know the command, so it is not running there.
    """

    event: str
    fraction: float | None = None
    message: str = ""
    state: CommandState | None = None
    result: dict[str, Any] | None = None
    unknown_to_core: bool = False

    def to_json(self) -> dict[str, Any]:
        """Return the event as it is sent to clients."""
        match self.event:
            case "progress":
                return {"event": "progress", "fraction": self.fraction, "message": self.message}
            case "log":
                return {"event": "log", "line": self.message}
            case "end":
                return {"event": "end", "state": str(self.state), "result": self.result, "message": self.message}
        return {"event": self.event}


def read_event(line: bytes) -> CoreEvent:
    """Parse one JSON line of the core.

    Raises
    ------
    CoreFailed
        The line is not a JSON object of one of the four events, or a member has a wrong type.
    """
    try:
        value = strict_json.loads(line, max_bytes=MAX_LINE_BYTES)
    except Problem as problem:
        raise _invalid_response(problem.detail) from None
    if not isinstance(value, dict):
        raise _invalid_response("a line is not a JSON object")
    event = value.get("event")
    reader = _READERS.get(event) if isinstance(event, str) else None
    if reader is None:
        raise _invalid_response("the event is not accepted, progress, log or end")
    return reader(value)


def _progress(value: dict[str, Any]) -> CoreEvent:
    fraction = value.get("fraction")
    if fraction is not None and (
        isinstance(fraction, bool) or not isinstance(fraction, int | float) or not 0 <= fraction <= 1
    ):
        raise _invalid_response("the progress is not a number from 0 to 1")
    return CoreEvent("progress", fraction=fraction, message=_text(value, "message"))


def _end(value: dict[str, Any]) -> CoreEvent:
    state = value.get("state")
    if state not in (CommandState.DONE, CommandState.FAILED, CommandState.STOPPED):
        raise _invalid_response("the end state is not done, failed or stopped")
    result = value.get("result")
    if result is not None and not isinstance(result, dict):
        raise _invalid_response("the result is not an object")
    return CoreEvent("end", state=CommandState(state), result=result, message=_text(value, "message"))


def _text(value: dict[str, Any], key: str) -> str:
    text = value.get(key, "")
    if not isinstance(text, str):
        raise _invalid_response(f"the member `{key}` is not a string")
    return text[:_MAX_MESSAGE]


def _invalid_response(problem: str) -> CoreFailed:
    return CoreFailed(f"the core sent an invalid response: {problem}", extensions={"core": "invalid-response"})


_READERS: dict[str, Callable[[dict[str, Any]], CoreEvent]] = {
    "accepted": lambda value: CoreEvent("accepted"),
    "progress": _progress,
    "log": lambda value: CoreEvent("log", message=_text(value, "line")),
    "end": _end,
}
