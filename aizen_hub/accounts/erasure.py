"""Cascade deletion of an identity, so that nothing is left for a later identity of the same name (R31, T-47)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, select, update

from aizen_hub.accounts import pending_changes
from aizen_hub.accounts.credentials import recent_logins
from aizen_hub.accounts.roles import assignments
from aizen_hub.accounts.sessions import locks, server_sessions
from aizen_hub.rbac.assignment import LockTarget
from aizen_hub.rbac.identity import Identity, IdentityKind
from aizen_hub.store import tables
from aizen_hub.store.audit_log import change_records

if TYPE_CHECKING:
    from aizen_hub.store.transaction import ReadTransaction, WriteTransaction


def list_direct_assignments(tx: ReadTransaction, identity: Identity) -> Sequence[Any]:
    """Return the identity's own assignments, without those of its groups."""
    a = tables.assignments
    return tx.conn.execute(select(a).where(a.c.identity == str(identity))).all()


def unauthorized_erase_identity(tx: WriteTransaction, identity: Identity, reason: str) -> None:
    """Delete roles, memberships, limits, locks, sessions, pending changes, credentials and alerts of an identity."""
    name = str(identity)
    for row in list_direct_assignments(tx, identity):
        assignments.unauthorized_delete_assignment(tx, row.role, row.scope, identity, reason=reason)
    wrote = []
    for table, column in (
        (tables.memberships, tables.memberships.c.member),
        (tables.scope_limits, tables.scope_limits.c.identity),
    ):
        tx.conn.execute(delete(table).where(column == name))
        wrote.append(change_records.row_deleted(table, name))
    tx.conn.execute(delete(tables.undo_records).where(tables.undo_records.c.identity == name))
    tx.conn.execute(delete(tables.idempotency_keys).where(tables.idempotency_keys.c.identity == name))
    locks.discard_lock(tx, LockTarget.IDENTITY, name)
    pending_changes.discard_changes_of(tx, identity)
    wrote += _detach_owned_objects(tx, name)
    if identity.kind is IdentityKind.USER:
        wrote += _erase_user(tx, identity, reason)
    tx.record_change("erased", {"identity": name, **change_records.change_payload(*wrote)}, [name])


def _detach_owned_objects(tx: WriteTransaction, name: str) -> list[change_records.RowChange]:
    accounts, credentials, activations, users = (
        tables.service_accounts,
        tables.credentials,
        tables.activations,
        tables.users,
    )
    controlled = tx.conn.execute(select(accounts.c.name).where(accounts.c.controller == name)).scalars().all()
    query = select(accounts.c.name, credentials.c.id).join(credentials).where(credentials.c.issued_by == name)
    issued = tx.conn.execute(query).all()
    invited_users = (
        tx.conn.execute(select(users.c.name).join(activations).where(activations.c.issued_by == name)).scalars().all()
    )
    # Accounts controlled by the identity keep working for their projects, but without a controller.
    tx.conn.execute(update(accounts).where(accounts.c.controller == name).values(controller=None))
    # Credentials issued by the identity stay valid without an issuer; its open activation links are deleted.
    tx.conn.execute(update(credentials).where(credentials.c.issued_by == name).values(issued_by=None))
    tx.conn.execute(delete(activations).where(activations.c.issued_by == name))
    return [
        *(change_records.row_updated(accounts, account, {"controller": None}) for account in controlled),
        *(
            change_records.row_updated(credentials, credential.name, {"issued_by": None}, credential.id)
            for credential in issued
        ),
        *(change_records.row_deleted(activations, user) for user in invited_users),
    ]


def _erase_user(tx: WriteTransaction, identity: Identity, reason: str) -> list[change_records.RowChange]:
    server_sessions.end_sessions(tx, identity.name, None, reason)
    user = select(tables.users.c.id).where(tables.users.c.name == identity.name).scalar_subquery()
    for table in (tables.passwords, tables.activations, tables.logins, tables.reported_groups):
        tx.conn.execute(delete(table).where(table.c.user_id == user))
    tx.conn.execute(delete(tables.project_alerts).where(tables.project_alerts.c.user == identity.name))
    recent_logins.forget_logins(tx, identity.name)
    tx.conn.execute(
        delete(tables.outbox).where(tables.outbox.c.recipient == identity.name, tables.outbox.c.sent.is_(None))
    )
    return [
        change_records.row_deleted(table, identity.name)
        for table in (tables.passwords, tables.activations, tables.logins)
    ]
