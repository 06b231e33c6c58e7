"""The texts of alerts: one template per event, filled with names that are already canonical."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from string import Formatter
from typing import Any

from aizen_hub.rbac.role import SYSTEM
from aizen_hub.validation.prose import MAX_PROSE


class AlertEvent(StrEnum):
    """The events that users are alerted of."""

    ROLE_GRANTED = "role-granted"
    ROLE_REVOKED = "role-revoked"
    ACCESS_EXPIRING = "access-expiring"
    MEMBER_ROLE_GRANTED = "member-role-granted"
    MEMBER_ROLE_REVOKED = "member-role-revoked"
    ACCESS_REQUESTED = "access-requested"
    REQUEST_GRANTED = "request-granted"
    REQUEST_DENIED = "request-denied"
    REQUEST_EXPIRED = "request-expired"
    REVIEW_STARTED = "review-started"
    REGISTRATION_REQUESTED = "registration-requested"
    CREDENTIAL_ISSUED = "credential-issued"
    UNLOCKED = "unlocked"
    JOB_DONE = "job-done"
    JOB_FAILED = "job-failed"


@dataclass(frozen=True, slots=True)
class AlertMessage:
    """Subject and body of one alert, plain text."""

    subject: str
    body: str


@dataclass(frozen=True, slots=True)
class _Template:
    """A subject, and the parts of a body; a part of which a value is missing is left out."""

    subject: str
    parts: tuple[str, ...]


_UNTIL, _REASON = ", until {until}", "\nReason: {reason}"
_MESSAGES: Mapping[AlertEvent, _Template] = {
    AlertEvent.ROLE_GRANTED: _Template(
        "You have {role} in {scope}",
        ("{by} gave you the role {role} in {scope}", _UNTIL, ".", _REASON, "\nIt applies from your next command."),
    ),
    AlertEvent.ROLE_REVOKED: _Template(
        "You no longer have {role} in {scope}",
        ("{by} revoked your role {role} in {scope}.", _REASON, "\nThis applies from your next command."),
    ),
    AlertEvent.ACCESS_EXPIRING: _Template(
        "Your role {role} in {scope} ends at {until}",
        ("Your role {role} in {scope} ends at {until}.\nIf you need it for longer, ask an administrator of {scope}.",),
    ),
    AlertEvent.MEMBER_ROLE_GRANTED: _Template(
        "{user} has {role} in {scope}", ("{by} gave {user} the role {role} in {scope}", _UNTIL, ".", _REASON)
    ),
    AlertEvent.MEMBER_ROLE_REVOKED: _Template(
        "{user} no longer has {role} in {scope}", ("{by} revoked the role {role} of {user} in {scope}.", _REASON)
    ),
    AlertEvent.ACCESS_REQUESTED: _Template(
        "{by} requests {role} in {scope}",
        (
            "{by} requests the role {role} in {scope}",
            _UNTIL,
            ".",
            _REASON,
            "\nYou can approve or deny request {request} until {expires}: on the page `Requests` of the panel,"
            " or by `aizen-hub request approve {request}`.",
            "\n{link}",
        ),
    ),
    AlertEvent.REQUEST_GRANTED: _Template(
        "Your request for {role} in {scope} was granted",
        ("{by} granted what you requested: you have the role {role} in {scope}.", "\nComment: {comment}"),
    ),
    AlertEvent.REQUEST_DENIED: _Template(
        "Your request for {role} in {scope} was denied",
        ("{by} denied your request for the role {role} in {scope}.", "\nComment: {comment}"),
    ),
    AlertEvent.REQUEST_EXPIRED: _Template(
        "Your request for {role} in {scope} expired",
        ("Your request for the role {role} in {scope} was not decided in time.", "\nYou can make it again."),
    ),
    AlertEvent.REVIEW_STARTED: _Template(
        "The access in {scope} is to be reviewed",
        (
            "{by} started a review of the access in {scope}.",
            " It is due at {until}.",
            "\nOpen its page in the panel, or use `aizen-hub review`. If the deadline passes, nothing is taken away.",
            "\n{link}",
        ),
    ),
    AlertEvent.REGISTRATION_REQUESTED: _Template(
        "{user} asks to be registered",
        (
            "{user} was signed in by {target}, is not registered, and asks for it.",
            "\nName: {comment}",
            "\nRegister the person on the page `People` of the panel, if you know who it is.",
            "\n{link}",
        ),
    ),
    AlertEvent.CREDENTIAL_ISSUED: _Template(
        "A credential of the service account {user} was issued",
        (
            "{by} issued a credential of the service account {user}, valid until {until}.",
            "\nIf you do not expect it: `aizen-hub service-account switch {user} off` stops the account.",
        ),
    ),
    AlertEvent.UNLOCKED: _Template(
        "The lock on {target} was lifted",
        ("{by} lifted the lock on {target}", "; it ends at {until}", ".", _REASON),
    ),
    AlertEvent.JOB_DONE: _Template(
        "{command} in {scope} is done", ("`{command}` in {scope}, started by {by}, is done.", "\n{reason}")
    ),
    AlertEvent.JOB_FAILED: _Template(
        "{command} in {scope} failed",
        ("`{command}` in {scope}, started by {by}, ended with the outcome: {outcome}.", "\n{reason}"),
    ),
}
_FIELDS = (
    "role",
    "scope",
    "user",
    "by",
    "until",
    "reason",
    "comment",
    "command",
    "outcome",
    "request",
    "expires",
    "target",
    "link",
)


def compose_message(event: AlertEvent, payload: Mapping[str, Any], panel_url: str = "") -> AlertMessage:
    """Return the message of an event.

    Values lose their control characters, and end in `…` after as many as a reason may have, so that none can add a mail
    header or a line that looks like part of the template (R99).

    Parameters
    ----------
    panel_url : str
        Address of the panel for browsers, with a final slash; empty where it is not known: then there is no link.
    """
    if panel_url and payload.get("page"):
        payload = {**payload, "link": f"{panel_url}{payload['page']}"}
    if payload.get("scope") == SYSTEM:
        payload = {**payload, "scope": "the system"}
    values = {name: text for name in _FIELDS if (text := _one_line(payload.get(name)))}
    template = _MESSAGES[event]
    # A subject and the first part always have a text, whatever is missing.
    complete = {**dict.fromkeys(_FIELDS, "-"), **values}
    first, *others = template.parts
    body = first.format_map(complete) + "".join(
        part.format_map(values) for part in others if _fields(part) <= values.keys()
    )
    return AlertMessage(template.subject.format_map(complete), body)


def _fields(part: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(part) if name}


def _one_line(value: object) -> str:
    text = "" if value is None else str(value)
    text = text if len(text) <= MAX_PROSE else text[: MAX_PROSE - 1] + "…"
    return "".join(char if char.isprintable() else " " for char in text)
