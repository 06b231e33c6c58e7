"""What hangs on an identity, so that a deletion leaves nothing behind for whoever bears the name next (R31, T-47)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, select, update

from aizen_hub.accounts import pending_changes as pending
from aizen_hub.accounts.credentials import recent_logins as sign_ins
from aizen_hub.accounts.roles import assignments
from aizen_hub.accounts.sessions import locks, sessions
from aizen_hub.rbac.assignment import LockTarget
from aizen_hub.rbac.identity import Identity, Kind
from aizen_hub.store import tables
from aizen_hub.store.audit_log import change_records as recorded

if TYPE_CHECKING:
    from aizen_hub.store.transaction import Read, Write


def assignments_of(tx: Read, identity: Identity) -> Sequence[Any]:
    """Return the identity's own assignments."""
    a = tables.assignments
    return tx.conn.execute(select(a).where(a.c.identity == str(identity))).all()


def erase(tx: Write, identity: Identity, why: str) -> None:
    """Remove roles, memberships, limits, locks, sessions, waiting changes, credentials and alerts of an identity."""
    name = str(identity)
    for row in assignments_of(tx, identity):
        assignments.remove(tx, row.role, row.scope, identity, reason=why)
    wrote = []
    for table, column in (
        (tables.memberships, tables.memberships.c.member),
        (tables.scope_limits, tables.scope_limits.c.identity),
    ):
        tx.conn.execute(delete(table).where(column == name))
        wrote.append(recorded.gone(table, name))
    tx.conn.execute(delete(tables.replays).where(tables.replays.c.identity == name))
    locks.forget(tx, LockTarget.IDENTITY, name)
    pending.drop_of(tx, identity)
    wrote += _unmake(tx, name)
    if identity.kind is Kind.USER:
        wrote += _erase_user(tx, identity, why)
    tx.change("erased", {"identity": name, **recorded.rows(*wrote)}, [name])


def _unmake(tx: Write, name: str) -> list[recorded.Mark]:
    accounts, credentials, links, users = tables.service_accounts, tables.credentials, tables.activations, tables.users
    controlled = tx.conn.execute(select(accounts.c.name).where(accounts.c.controller == name)).scalars().all()
    query = select(accounts.c.name, credentials.c.id).join(credentials).where(credentials.c.issued_by == name)
    made = tx.conn.execute(query).all()
    invited = tx.conn.execute(select(users.c.name).join(links).where(links.c.issued_by == name)).scalars().all()
    # What somebody controlled goes on working for its project, but nobody of that name controls it any more.
    tx.conn.execute(update(accounts).where(accounts.c.controller == name).values(controller=None))
    # Nor does anybody count as the maker of what they made: the credentials go on, open activation links do not.
    tx.conn.execute(update(credentials).where(credentials.c.issued_by == name).values(issued_by=None))
    tx.conn.execute(delete(links).where(links.c.issued_by == name))
    return [
        *(recorded.altered(accounts, account, {"controller": None}) for account in controlled),
        *(recorded.altered(credentials, one.name, {"issued_by": None}, one.id) for one in made),
        *(recorded.gone(links, user) for user in invited),
    ]


def _erase_user(tx: Write, identity: Identity, why: str) -> list[recorded.Mark]:
    sessions.end(tx, identity.name, None, why)
    user = select(tables.users.c.id).where(tables.users.c.name == identity.name).scalar_subquery()
    for table in (tables.passwords, tables.activations, tables.logins, tables.reported_groups):
        tx.conn.execute(delete(table).where(table.c.user_id == user))
    tx.conn.execute(delete(tables.project_alerts).where(tables.project_alerts.c.user == identity.name))
    sign_ins.forget(tx, identity.name)
    tx.conn.execute(
        delete(tables.outbox).where(tables.outbox.c.recipient == identity.name, tables.outbox.c.sent.is_(None))
    )
    return [recorded.gone(table, identity.name) for table in (tables.passwords, tables.activations, tables.logins)]
