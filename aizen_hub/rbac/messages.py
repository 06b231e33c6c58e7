"""The sentences of decisions: one table, keyed by reason. Lower case, no final period, user text in backticks."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from aizen_hub.rbac.decision import Decision, Reason
from aizen_hub.rbac.identity import Identity
from aizen_hub.rbac.role import SYSTEM

_ASKED = "`{permission}` in {where}"

SENTENCES: Mapping[Reason, str] = MappingProxyType(
    {
        Reason.GRANTED: "role {role} in {where}{via}",
        Reason.OPEN: "open to every registered user",
        Reason.NO_ASSIGNMENT: f"{_ASKED} needs a role that gives it{{remedy}}",
        Reason.NOT_YET: f"role {{role}}{{via}} gives {_ASKED}, but only from {{moment}} on",
        Reason.EXPIRED: f"role {{role}}{{via}} gave {_ASKED} until {{moment}}",
        Reason.LOCKED: "{target} is locked{because}",
        Reason.PROJECT_REQUIRED: "`{permission}` needs a project, and none is set",
        Reason.UNKNOWN_PROJECT: "there is no project {where}",
        Reason.NOT_ACTIVE: "`{identity}` is not a registered and active identity",
        Reason.SESSION_ENDED: "the session has ended",
        Reason.PROJECT_CHANGED: "the session has changed its project since the token was issued",
        Reason.TOKEN_EXPIRED: "the token has expired",
        Reason.REVOKED: "the token was revoked",
        Reason.OUTSIDE_TOKEN: "the token is narrowed and does not reach `{permission}`",
        Reason.ESCALATION: "this would give more than the giver may give{missing}",
        Reason.LIMIT: "the limit of {value} {kind} is reached ({source})",
        Reason.CONFLICT: "{detail}",
        Reason.SYNTAX: "{detail}",
        Reason.UNKNOWN_COMMAND: "{detail}",
    }
)
"""Every reason has its sentence; the names in braces are the facts that it needs."""


def denied(
    reason: Reason,
    *,
    assignment: str | None = None,
    role: str | None = None,
    via: tuple[Identity, ...] = (),
    **facts: object,
) -> Decision:
    """Return a denial whose sentence is built from the table; KeyError when a fact of the sentence is missing."""
    sentence = SENTENCES[reason].format(role=role, via=through(via), **facts)
    return Decision(False, reason, sentence, assignment, role, via)


def place(scope: str) -> str:
    """Return a scope as a phrase."""
    return "the system" if scope == SYSTEM else f"`{scope[:80]}`"


def through(via: tuple[Identity, ...]) -> str:
    """Return a chain of groups as the end of a phrase; empty for none."""
    return f" through {', '.join(f'`{group}`' for group in via)}" if via else ""
