"""A decision is a value with a reason."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from aizen_hub.rbac.identity import Identity
from aizen_hub.rbac.permission import Permission


class Reason(StrEnum):
    """Why, as a class small enough for a metric label (R59: every way to fail has its own)."""

    GRANTED = "granted"
    OPEN = "open"  # open to every registered user
    NO_ASSIGNMENT = "no-assignment"
    NOT_YET = "not-yet"
    EXPIRED = "expired"
    LOCKED = "locked"
    PROJECT_REQUIRED = "project-required"
    UNKNOWN_PROJECT = "unknown-project"
    NOT_ACTIVE = "not-active"  # unknown, unregistered, deleted or without an activated account
    SESSION_ENDED = "session-ended"
    PROJECT_CHANGED = "project-changed"  # the session is in another project than its token
    TOKEN_EXPIRED = "token-expired"  # noqa: S105 - by the store's time
    REVOKED = "revoked"  # the token, by itself, by its key or by a `not_before`
    OUTSIDE_TOKEN = "outside-token"  # noqa: S105 - the token's own scope narrows it away
    ESCALATION = "escalation"
    LIMIT = "limit"
    CONFLICT = "conflict"
    SYNTAX = "syntax"
    UNKNOWN_COMMAND = "unknown-command"


@dataclass(frozen=True, slots=True)
class Request:
    """One question to the engine.

    Attributes
    ----------
    permission : Permission or None
        None: open to every registered user.
    scope : str or None
        ``system``, a project's name, or None where a project is needed and none is known.
    session : str or None
        For session locks.
    exists : bool
        Whether the project of ``scope`` exists. The asker looks it up in the snapshot that the rights come from; the
        rights themselves do not list all projects, so that they stay small and survive the creation of others.
    """

    permission: Permission | None
    scope: str | None
    session: str | None = None
    exists: bool = True


@dataclass(frozen=True, slots=True)
class Decision:
    """Allow or deny, and why.

    Attributes
    ----------
    allowed : bool
    reason : Reason
    sentence : str
        The full reason for the audit and for people of the project; lower case, without a final period.
    assignment : str or None
        Id of the assignment that allowed it, or that came nearest.
    role : str or None
        The role of that assignment; on a denial without any, the least role that would do.
    via : tuple of Identity
        The groups through which the assignment reaches the identity, outermost last; empty if it is the identity's own.
    """

    allowed: bool
    reason: Reason
    sentence: str
    assignment: str | None = None
    role: str | None = None
    via: tuple[Identity, ...] = ()
