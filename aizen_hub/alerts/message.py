"""The texts of alerts: one template per event, filled with names that are already canonical."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class AlertEvent(StrEnum):
    """The events that users are alerted of."""

    ROLE_GRANTED = "role-granted"
    ROLE_REVOKED = "role-revoked"
    ACCESS_EXPIRING = "access-expiring"
    JOB_DONE = "job-done"
    JOB_FAILED = "job-failed"


@dataclass(frozen=True, slots=True)
class AlertMessage:
    """Subject and body of one alert, plain text."""

    subject: str
    body: str


_MESSAGES: Mapping[AlertEvent, AlertMessage] = {
    AlertEvent.ROLE_GRANTED: AlertMessage(
        "You have {role} in {scope}",
        "{by} gave you the role {role} in {scope}, until {until}.\nReason: {reason}\n"
        "It applies from your next command.",
    ),
    AlertEvent.ROLE_REVOKED: AlertMessage(
        "You no longer have {role} in {scope}",
        "{by} revoked your role {role} in {scope}.\nReason: {reason}\nThis applies from your next command.",
    ),
    AlertEvent.ACCESS_EXPIRING: AlertMessage(
        "Your role {role} in {scope} ends at {until}",
        "Your role {role} in {scope} ends at {until}.\nIf you need it for longer, ask an administrator of {scope}.",
    ),
    AlertEvent.JOB_DONE: AlertMessage(
        "{command} in {scope} is done", "`{command}` in {scope}, started by {by}, is done.\n{reason}"
    ),
    AlertEvent.JOB_FAILED: AlertMessage(
        "{command} in {scope} failed",
        "`{command}` in {scope}, started by {by}, ended with the outcome: {outcome}.\n{reason}",
    ),
}
_FIELDS = ("role", "scope", "by", "until", "reason", "command", "outcome")
_MAX_FIELD = 500


def compose_message(event: AlertEvent, payload: Mapping[str, Any]) -> AlertMessage:
    """Return the message of an event.

    Values are truncated to 500 characters and lose their control characters, so that none can add a mail header or a
    line that looks like part of the template (R99).
    """
    values = {name: _one_line(payload.get(name)) for name in _FIELDS}
    template = _MESSAGES[event]
    return AlertMessage(template.subject.format_map(values), template.body.format_map(values))


def _one_line(value: object) -> str:
    text = "-" if value in (None, "") else str(value)
    return "".join(char if char.isprintable() else " " for char in text[:_MAX_FIELD])
