"""Revocation of all role tokens issued so far to a user, in a project, or to all users (R47, R48)."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any

from sqlalchemy import Column, ColumnElement, Table, select, update

from aizen_hub.accounts import pending_changes
from aizen_hub.accounts.names import normalization
from aizen_hub.accounts.names.normalization import NameKind
from aizen_hub.authorization import checks, lock_state
from aizen_hub.commands.result import Result, message_result
from aizen_hub.problems import NotFound
from aizen_hub.rbac.assignment import LockTarget
from aizen_hub.rbac.default_denials import any_covers
from aizen_hub.rbac.engine import held_permissions
from aizen_hub.rbac.identity import Identity
from aizen_hub.rbac.permission import Permission
from aizen_hub.rbac.role import SYSTEM
from aizen_hub.store import tables
from aizen_hub.validation.printable import excerpt
from aizen_hub.validation.prose import check_prose
from aizen_hub.wording import LIST_USERS

if TYPE_CHECKING:
    from aizen_hub.store.transaction import WriteTransaction

_r, _s, _u, _p = tables.revision, tables.sessions, tables.users, tables.projects


class RevocationTarget(StrEnum):
    """Whose tokens are revoked."""

    USER = "user"
    PROJECT = "project"
    ALL = "all"


def revoke_tokens(tx: WriteTransaction, target: RevocationTarget, name: str = "", *, reason: str = "") -> Result:
    """Revoke every role token issued so far to a user, for a project, or to all users.

    Sessions continue: servers exchange their own hub token for a new role token if their users are still allowed. Users
    may revoke their own tokens; actors who may lock may revoke those of others, and in a project those of the project.
    Revoking all needs a recent login in the panel, or waits for confirmation there (R77).

    Parameters
    ----------
    name : str
        Of the user or the project; empty for all.
    reason : str
        For the audit.

    Raises
    ------
    NotFound
        There is no such user, or no such project that the actor can see.
    Denied
        The permission, or in the panel a recent login, is missing.
    """
    permission = checks.endpoint_permission(tx, "locks")
    check_prose(reason, "reason")
    if target is RevocationTarget.ALL:
        checks.require(tx, permission)
        if pending_changes.requires_confirmation(tx, always=True):
            return pending_changes.submit(tx, "revoke-tokens", {"reason": reason}, "revoke all role tokens")
        return _invalidate_tokens(tx, "all", (_r, _r.c.id, 1), None, reason)
    if target is RevocationTarget.PROJECT:
        project = normalization.canonical_or_none(name, NameKind.PROJECT)
        if project is None:
            raise checks.project_not_found(name)
        checks.require_visible_project(tx, project)
        _require_in_project(tx, permission, project)
        return _invalidate_tokens(tx, f"project:{project}", (_p, _p.c.name, project), _s.c.project == project, reason)
    user = normalization.canonical_or_none(name)
    if user is not None and tx.actor.identity == Identity.user(user) and not checks.is_operator(tx):
        checks.forbid_impersonation(tx)
    else:
        checks.require(tx, permission, SYSTEM)
    if user is None or tx.conn.execute(select(_u.c.id).where(_u.c.name == user)).first() is None:
        raise NotFound(f"there is no user `{excerpt(name)}`", remedy=LIST_USERS)
    return _invalidate_tokens(tx, f"user:{user}", (_u, _u.c.name, user), _s.c.user == user, reason)


def _require_in_project(tx: WriteTransaction, permission: str, project: str) -> None:
    # An archive suspends what changes the project, but its servers go on: in an incident their tokens have to end.
    if lock_state.is_locked(tx, LockTarget.ARCHIVE, project) and not checks.is_operator(tx):
        checks.forbid_impersonation(tx)
        held = held_permissions(checks.actor_rights(tx), project, tx.now)
        if any_covers(held, Permission.parse(permission)):
            return
    checks.require(tx, permission, project)


def _invalidate_tokens(
    tx: WriteTransaction,
    subject: str,
    subject_row: tuple[Table, Column[Any], str | int],
    session_condition: ColumnElement[bool] | None,
    reason: str,
) -> Result:
    # A token has its issue time in whole seconds, and clocks may be set back: by time alone, a token of this second,
    # or of a clock that was ahead, would stay valid, or the next renewal would be invalid at once. Therefore tokens of
    # active sessions, the only ones that are accepted, are also compared by revision, which is exact.
    not_before, first_revision = tx.now.replace(microsecond=0), tx.state.revision + 1
    table, key, owner = subject_row
    tx.conn.execute(update(table).where(key == owner).values(not_before=not_before))
    condition = _s.c.ended.is_(None) if session_condition is None else _s.c.ended.is_(None) & session_condition
    sessions = tx.conn.execute(update(_s).where(condition).values(min_token_revision=first_revision)).rowcount
    # The rows written follow from the subject; listing them would make the record too long in a large installation.
    tx.record_change(
        "not-before", {"subject": subject, "not_before": not_before, "min_token_revision": first_revision}, []
    )
    project = subject.partition(":")[2] if subject.startswith("project:") else None
    tx.audit("tokens.revoked", project=project, reason=reason or None, subject=subject, sessions=sessions)
    label = "all users" if session_condition is None else f"`{owner}`"
    return message_result(
        f"revoked all role tokens of {label}; running servers renew theirs automatically",
        subject=subject,
        sessions=sessions,
    )
