"""What an alert says. Messages are data: one line per event, filled with names that are canonical already."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Event(StrEnum):
    ROLE_GRANTED = "role-granted"
    ROLE_REVOKED = "role-revoked"
    ACCESS_EXPIRING = "access-expiring"
    JOB_DONE = "job-done"
    JOB_FAILED = "job-failed"


@dataclass(frozen=True, slots=True)
class Message:
    """Subject and body of one alert, plain text."""

    subject: str
    body: str


_MESSAGES: Mapping[Event, Message] = {
    Event.ROLE_GRANTED: Message(
        "You have {role} in {scope}",
        "{by} gave you the role {role} in {scope}, until {until}.\nReason: {reason}\nIt works from your next command.",
    ),
    Event.ROLE_REVOKED: Message(
        "You no longer have {role} in {scope}",
        "{by} took the role {role} in {scope} from you.\nReason: {reason}\nYour next command is judged without it.",
    ),
    Event.ACCESS_EXPIRING: Message(
        "Your role {role} in {scope} ends at {until}",
        "Your role {role} in {scope} ends at {until}.\nIf you need it longer, ask an administrator of {scope}.",
    ),
    Event.JOB_DONE: Message(
        "{command} in {scope} is done", "`{command}` in {scope}, started by {by}, is done.\n{reason}"
    ),
    Event.JOB_FAILED: Message(
        "{command} in {scope} failed", "`{command}` in {scope}, started by {by}, ended as: {outcome}.\n{reason}"
    ),
}
_FIELDS = ("role", "scope", "by", "until", "reason", "command", "outcome")
_MAX_FIELD = 500


def compose(event: Event, payload: Mapping[str, Any]) -> Message:
    """Fill the message of an event.

    Values are cut to 500 characters and lose their control characters, so that none can add a mail header or a line
    that looks like ours (R99).
    """
    values = {name: _one_line(payload.get(name)) for name in _FIELDS}
    template = _MESSAGES[event]
    return Message(template.subject.format_map(values), template.body.format_map(values))


def _one_line(value: object) -> str:
    text = "-" if value in (None, "") else str(value)
    return "".join(char if char.isprintable() else " " for char in text[:_MAX_FIELD])
