"""What a lock ends, and what lifting it gives back, shown before the change is made."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import select

from aizen_hub.accounts.identities import require_identity
from aizen_hub.accounts.roles import last_holder
from aizen_hub.accounts.sessions.locks import get_lock
from aizen_hub.accounts.sessions.server_label import server_label
from aizen_hub.authorization import checks
from aizen_hub.commands.result import Result, truncated_table
from aizen_hub.rbac.assignment import LockTarget
from aizen_hub.rbac.identity import Identity, IdentityKind
from aizen_hub.rbac.role import SYSTEM
from aizen_hub.store import tables

if TYPE_CHECKING:
    from aizen_hub.store.transaction import ActorTransaction, WriteTransaction

MAX_LISTED = 500
_s, _j, _a = tables.sessions, tables.jobs, tables.assignments


def list_what_ends(tx: WriteTransaction, identity: Identity) -> Result:
    """Do what `find_what_ends` does, and record it in the audit."""
    result = find_what_ends(tx, identity)
    tx.audit("access.read", target=str(identity), details={"query": "lock-preview"})
    return result


def find_what_ends(tx: ActorTransaction, identity: Identity) -> Result:
    """List the sessions that a lock on an identity would end, and the jobs that it would stop following.

    Raises
    ------
    Denied
        The permission to lock is missing.
    NotFound
        There is no such identity.
    LastHolder
        The last holder of a protected role cannot be locked.
    """
    checks.require(tx, checks.endpoint_permission(tx, "locks"))
    require_identity(tx, identity)
    if identity.kind is IdentityKind.USER:
        grants = last_holder.protected_grants_of(tx, [identity])
        last_holder.require_other_holder(tx, grants, [identity.name])
    members = checks.transitive_members(tx, [identity])
    users = sorted(member.name for member in members if member.kind is IdentityKind.USER)
    sessions = tx.conn.execute(
        select(_s).where(_s.c.user.in_(users), _s.c.ended.is_(None)).order_by(_s.c.started).limit(MAX_LISTED + 1)
    )
    jobs = tx.conn.execute(
        select(_j).where(_j.c.user.in_(users), _j.c.ended.is_(None)).order_by(_j.c.started).limit(MAX_LISTED + 1)
    )
    rows = [("session", row.user, server_label(row), row.project, row.started) for row in sessions]
    rows += [("command", row.user, row.key, row.project, row.started) for row in jobs]
    return truncated_table(("ends", "user", "what", "project", "since"), rows, MAX_LISTED)


def find_what_returns(tx: ActorTransaction, target: LockTarget, name: str) -> Result:
    """List the roles that have an effect again when a lock is lifted. Sessions that the lock ended stay ended.

    Raises
    ------
    Denied
        The permission to lock is missing.
    NotFound
        There is no such lock.
    """
    checks.require(tx, checks.endpoint_permission(tx, "locks"))
    get_lock(tx, target, name)
    rows: list[tuple[object, ...]] = []
    if target is LockTarget.IDENTITY:
        rights = tx.rights(Identity.parse(name))
        held_roles = [held for held in rights.held_roles if held.interval.ends is None or held.interval.ends > tx.now]
        rows = [
            (held.role, held.scope, ", ".join(map(str, held.via)), held.granted_until, held.confirmed_until)
            for held in sorted(held_roles, key=lambda held: (held.scope != SYSTEM, held.scope, held.role))
        ]
    elif target in (LockTarget.PROJECT, LockTarget.ARCHIVE):
        query = select(_a).where(_a.c.scope == name).order_by(_a.c.identity, _a.c.role).limit(MAX_LISTED + 1)
        rows = [(row.role, row.scope, row.identity, row.ends, None) for row in tx.conn.execute(query)]
    return truncated_table(("role", "scope", "through", "until", "confirmed until"), rows, MAX_LISTED)
