"""Release of the reserved name of something deleted, refused while anything of that name is left (R31)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import ColumnElement, FromClause, select

from aizen_hub.accounts.names import normalization, reservation
from aizen_hub.accounts.names.normalization import NameKind
from aizen_hub.authorization import checks
from aizen_hub.commands.result import Result, message_result
from aizen_hub.problems import Conflict, NotFound
from aizen_hub.store import tables
from aizen_hub.store.audit_log import change_records

if TYPE_CHECKING:
    from aizen_hub.store.transaction import ReadTransaction, WriteTransaction

_MANAGED_BY = {
    NameKind.USER: "users",
    NameKind.PROJECT: "users",
    NameKind.GROUP: "groups",
    NameKind.SERVICE_ACCOUNT: "service-accounts",
    NameKind.ROLE: "roles",
}


def release_name(tx: WriteTransaction, kind: NameKind, name: str) -> Result:
    """Make a reserved name available again.

    Only the caller can know about data outside of the store, such as the hub's user and files of that name; therefore
    names are never released automatically.

    Raises
    ------
    NotFound
        It is not the name of something deleted.
    Conflict
        Something of that name is left; the message lists it.
    """
    checks.require(tx, checks.endpoint_permission(tx, _MANAGED_BY[kind]))
    canonical = normalization.canonical_name(name, kind)
    if not reservation.is_name_retired(tx, canonical, kind):
        raise NotFound(f"`{canonical}` is not the name of a deleted {kind}")
    require_no_references(tx, kind, canonical)
    reservation.free_name(tx, canonical, kind)
    wrote = change_records.change_payload(change_records.row_deleted(tables.names, (kind.value, canonical)))
    tx.record_change("name", {"of": kind.value, "name": canonical, "did": "release", **wrote}, [])
    tx.audit("name.released", details={"kind": kind.value, "name": canonical})
    return message_result(f"`{canonical}` can be used again")


def require_no_references(tx: ReadTransaction, kind: NameKind, name: str) -> None:
    """Refuse where something still refers to the name of something deleted.

    Raises
    ------
    Conflict
    """
    remaining = list_remaining_references(tx, kind, name)
    if remaining:
        raise Conflict(f"`{name}` still has {', '.join(remaining)}")


def list_remaining_references(tx: ReadTransaction, kind: NameKind, name: str) -> list[str]:
    """Return labels of what still refers to the name of something deleted."""
    t = tables
    identity = f"{kind.value}:{name}"
    references: tuple[tuple[str, FromClause, ColumnElement[bool]], ...]
    if kind is NameKind.PROJECT:
        references = (
            ("roles", t.assignments, t.assignments.c.scope == name),
            ("locks", t.locks, t.locks.c.name == name),
            ("live sessions", t.sessions, (t.sessions.c.project == name) & t.sessions.c.ended.is_(None)),
            ("running jobs", t.jobs, (t.jobs.c.project == name) & t.jobs.c.ended.is_(None)),
        )
    elif kind is NameKind.ROLE:
        references = (("assignments", t.assignments, t.assignments.c.role == name),)
    else:
        references = (
            ("roles", t.assignments, t.assignments.c.identity == identity),
            ("memberships", t.memberships, t.memberships.c.member == identity),
            ("locks", t.locks, t.locks.c.name == identity),
        )
    if kind is NameKind.USER:
        references += (
            ("live sessions", t.sessions, (t.sessions.c.user == name) & t.sessions.c.ended.is_(None)),
            ("running jobs", t.jobs, (t.jobs.c.user == name) & t.jobs.c.ended.is_(None)),
        )
    return [
        label
        for label, table, condition in references
        if tx.conn.execute(select(1).select_from(table).where(condition)).first()
    ]
