"""Authorization requests and decisions."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from aizen_hub.rbac.identity import Identity
from aizen_hub.rbac.permission import Permission


class Reason(StrEnum):
    """Reason codes, few enough for a metric label; every way to fail has its own (R59)."""

    GRANTED = "granted"
    OPEN = "open"  # open to every registered user
    NO_ASSIGNMENT = "no-assignment"
    NOT_YET = "not-yet"
    EXPIRED = "expired"
    LOCKED = "locked"
    ARCHIVED = "archived"  # the project can only be read
    PROJECT_REQUIRED = "project-required"
    UNKNOWN_PROJECT = "unknown-project"
    NOT_ACTIVE = "not-active"  # unknown, not registered, deleted, or the account is not activated
    SESSION_ENDED = "session-ended"
    PROJECT_CHANGED = "project-changed"  # the session is in another project than the token
    TOKEN_EXPIRED = "token-expired"  # noqa: S105 - by the store's clock
    REVOKED = "revoked"  # the token itself, its key, or by a `not_before`
    OUTSIDE_TOKEN = "outside-token"  # noqa: S105 - the token's scope excludes it
    ESCALATION = "escalation"
    LIMIT = "limit"
    CONFLICT = "conflict"
    SYNTAX = "syntax"
    UNKNOWN_COMMAND = "unknown-command"


@dataclass(frozen=True, slots=True)
class AuthorizationRequest:
    """May an identity use this permission in this scope?

    Attributes
    ----------
    permission : Permission or None
        None: allowed for every registered user.
    scope : str or None
        ``system``, a project's name, or None where a project is required and none is known.
    session_id : str or None
        For session locks.
    scope_exists : bool
        Whether the project of ``scope`` exists. The caller looks it up in the snapshot that the rights were compiled
        from; rights do not list all projects, so that they stay small and stay valid when projects are created.
    """

    permission: Permission | None
    scope: str | None
    session_id: str | None = None
    scope_exists: bool = True


@dataclass(frozen=True, slots=True)
class Decision:
    """Allow or deny, with the reason.

    Attributes
    ----------
    allowed : bool
    reason : Reason
    sentence : str
        The full reason, for the audit and for users of the project; lower case, without a final period.
    assignment_id : str or None
        The assignment that allowed it, or the nearest one on a denial.
    role : str or None
        The role of that assignment; on a denial without one, the least role that would allow it.
    via : tuple of Identity
        The groups through which the identity has the assignment, outermost last; empty if it is assigned directly.
    """

    allowed: bool
    reason: Reason
    sentence: str
    assignment_id: str | None = None
    role: str | None = None
    via: tuple[Identity, ...] = ()
