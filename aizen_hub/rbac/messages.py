"""Message texts of decisions, by reason: lower case, no final period, user text in backticks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from types import MappingProxyType

from aizen_hub.rbac.decision import Decision, Reason
from aizen_hub.rbac.identity import Identity
from aizen_hub.rbac.role import SYSTEM, LimitKind

_UNITS = ("bytes", "KiB", "MiB", "GiB", "TiB")
_PERMISSION_IN_SCOPE = "`{permission}` in {where}"

MESSAGES: Mapping[Reason, str] = MappingProxyType(
    {
        Reason.GRANTED: "role {role} in {where}{via}",
        Reason.OPEN: "open to every registered user",
        Reason.NO_ASSIGNMENT: f"no assigned role allows {_PERMISSION_IN_SCOPE}{{remedy}}",
        Reason.NOT_YET: f"role {{role}}{{via}} allows {_PERMISSION_IN_SCOPE} only from {{moment}}",
        Reason.EXPIRED: f"role {{role}}{{via}} allowed {_PERMISSION_IN_SCOPE} until {{moment}}",
        Reason.LOCKED: "{target} is locked{because}",
        Reason.ARCHIVED: "the project {where} is archived and can only be read{because}; {restorers} can restore it",
        Reason.PROJECT_REQUIRED: "`{permission}` needs a project, and none is set",
        Reason.UNKNOWN_PROJECT: "there is no project {where}",
        Reason.NOT_ACTIVE: "`{identity}` is not a registered and active identity",
        Reason.SESSION_ENDED: "the session has ended",
        Reason.PROJECT_CHANGED: "the session has changed its project since the token was issued",
        Reason.TOKEN_EXPIRED: "the token has expired",
        Reason.REVOKED: "the token was revoked",
        Reason.OUTSIDE_TOKEN: "the scope of the token does not include `{permission}`",
        Reason.ESCALATION: "the grantor cannot give more than they have{missing}",
        Reason.LIMIT: "the limit of {value} {kind} is reached ({source})",
        Reason.CONFLICT: "{detail}",
        Reason.SYNTAX: "{detail}",
        Reason.UNKNOWN_COMMAND: "{detail}",
    }
)
"""Templates; the names in braces are the arguments of `deny`."""


SUMMARIES: Mapping[str, str] = MappingProxyType(
    {
        Reason.NO_ASSIGNMENT: "no role allows it",
        Reason.NOT_YET: "a role allows it only later",
        Reason.EXPIRED: "the role that allowed it has ended",
        Reason.LOCKED: "stopped",
        Reason.ARCHIVED: "the project is archived",
        Reason.PROJECT_REQUIRED: "without a project",
        Reason.UNKNOWN_PROJECT: "no such project",
        Reason.NOT_ACTIVE: "not registered or not active",
        Reason.SESSION_ENDED: "the session has ended",
        Reason.PROJECT_CHANGED: "the session has changed its project",
        Reason.TOKEN_EXPIRED: "the token has expired",
        Reason.REVOKED: "the token was revoked",
        Reason.OUTSIDE_TOKEN: "the token does not include it",
        Reason.ESCALATION: "more than the grantor has",
        Reason.LIMIT: "a limit is reached",
        Reason.CONFLICT: "it conflicts with what exists",
        Reason.SYNTAX: "mistyped",
        Reason.UNKNOWN_COMMAND: "no such command",
    }
)
"""Each reason of a denial in a few words, for lists that count denials."""


def deny(
    reason: Reason,
    *,
    assignment_id: str | None = None,
    role: str | None = None,
    via: tuple[Identity, ...] = (),
    **arguments: object,
) -> Decision:
    """Return a denial with the text of its reason; KeyError if an argument of the template is missing."""
    sentence = MESSAGES[reason].format(role=role, via=describe_path(via), **arguments)
    return Decision(False, reason, sentence, assignment_id, role, via)


def describe_scope(scope: str) -> str:
    """Return a scope as a phrase."""
    return "the system" if scope == SYSTEM else f"`{scope[:80]}`"


def describe_role(role: str, assigned_in: str, scope: str) -> str:
    """Return a role as a phrase about ``scope``: where it is assigned is said only if that is another scope."""
    return role if assigned_in == scope else f"{role} in {describe_scope(assigned_in)}"


def describe_path(via: tuple[Identity, ...]) -> str:
    """Return the groups of a path as the end of a phrase; empty for a direct assignment."""
    return f" through {', '.join(f'`{group}`' for group in via)}" if via else ""


def describe_restorers(roles: Iterable[str]) -> str:
    """Return who can restore an archived project, by the names of their roles."""
    return " or ".join(roles) or "an administrator"


def describe_no_end(confirmed_until: datetime | None) -> str:
    """Return how long a role without a set end lasts: while its directory membership is confirmed, or with no end."""
    return "no end" if confirmed_until is None else "as long as the directory confirms it"


def describe_limit(value: float, kind: str) -> str:
    """Return the value of a limit with its unit."""
    if kind != LimitKind.MEMORY:
        return f"{value:g}"
    step = 0
    while value >= 1024 and step < len(_UNITS) - 1:
        value, step = value / 1024, step + 1
    return f"{value:g} {_UNITS[step]}"
