"""Freeing the name of something deleted: an act of its own, refused while anything of that name is left (R31)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import ColumnElement, FromClause, select

from aizen_hub.accounts.names import names
from aizen_hub.accounts.names.names import NameKind
from aizen_hub.authorization import checks as gate
from aizen_hub.commands.result import Result, message
from aizen_hub.problems import Conflict, NotFound
from aizen_hub.store import tables
from aizen_hub.store.audit_log import change_records as recorded

if TYPE_CHECKING:
    from aizen_hub.store.transaction import Read, Write

_MANAGED_BY = {
    NameKind.USER: "users",
    NameKind.PROJECT: "users",
    NameKind.GROUP: "groups",
    NameKind.SERVICE_ACCOUNT: "service-accounts",
    NameKind.ROLE: "roles",
}


def release(tx: Write, kind: NameKind, name: str) -> Result:
    """Free a reserved name.

    Only the caller can have looked after what lies outside of the store, the hub's user and files of that name; that is
    why nothing does this by itself.

    Raises
    ------
    NotFound
        It is not the name of something deleted.
    Conflict
        Something of that name is left; names what.
    """
    gate.need(tx, gate.permission(tx, _MANAGED_BY[kind]))
    canonical = names.canonical(name, kind)
    if not names.is_retired(tx, canonical, kind):
        raise NotFound(f"`{canonical}` is not the name of a deleted {kind}")
    left = left_of(tx, kind, canonical)
    if left:
        raise Conflict(f"`{canonical}` still has {', '.join(left)}")
    names.forget(tx, canonical, kind)
    freed = recorded.rows(recorded.gone(tables.names, (kind.value, canonical)))
    tx.change("name", {"of": kind.value, "name": canonical, "did": "release", **freed}, [])
    tx.audit("name.released", details={"kind": kind.value, "name": canonical})
    return message(f"`{canonical}` can be used again")


def left_of(tx: Read, kind: NameKind, name: str) -> list[str]:
    """Return in words what still bears the name of something deleted."""
    t = tables
    identity = f"{kind.value}:{name}"
    where: tuple[tuple[str, FromClause, ColumnElement[bool]], ...]
    if kind is NameKind.PROJECT:
        where = (
            ("roles", t.assignments, t.assignments.c.scope == name),
            ("locks", t.locks, t.locks.c.name == name),
            ("live sessions", t.sessions, (t.sessions.c.project == name) & t.sessions.c.ended.is_(None)),
            ("running jobs", t.jobs, (t.jobs.c.project == name) & t.jobs.c.ended.is_(None)),
        )
    elif kind is NameKind.ROLE:
        where = (("assignments", t.assignments, t.assignments.c.role == name),)
    else:
        where = (
            ("roles", t.assignments, t.assignments.c.identity == identity),
            ("memberships", t.memberships, t.memberships.c.member == identity),
            ("locks", t.locks, t.locks.c.name == identity),
        )
    if kind is NameKind.USER:
        where += (
            ("live sessions", t.sessions, (t.sessions.c.user == name) & t.sessions.c.ended.is_(None)),
            ("running jobs", t.jobs, (t.jobs.c.user == name) & t.jobs.c.ended.is_(None)),
        )
    return [
        words
        for words, table, condition in where
        if tx.conn.execute(select(1).select_from(table).where(condition)).first()
    ]
