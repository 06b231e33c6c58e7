"""Unused roles and dormant accounts, for the home page of admins and the command line (R132)."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import ColumnElement, func, or_, select

from aizen_hub.rbac.identity import Identity, IdentityKind
from aizen_hub.store import tables

if TYPE_CHECKING:
    from aizen_hub.store.transaction import ReadTransaction

DORMANT_AFTER = timedelta(days=45)
"""Time without a use after which a role or an account is reported (CIS Controls 5.3)."""
_a, _u = tables.assignments, tables.assignment_uses


@dataclass(frozen=True, slots=True)
class UnusedRole:
    """An assignment in force that was given at least 45 days ago and allowed nothing since then.

    Attributes
    ----------
    last_used : datetime or None
        None: never.
    """

    assignment_id: int
    role: str
    scope: str
    identity: str
    granted_by: str
    granted: datetime
    last_used: datetime | None


@dataclass(frozen=True, slots=True)
class DormantAccount:
    """An account without a sign-in for 45 days, or never used since it was created at least as long ago."""

    identity: str
    created: datetime
    last_used: datetime | None


@dataclass(frozen=True, slots=True)
class UnusedAccess:
    """How much is unused, with the oldest examples.

    Attributes
    ----------
    at : datetime
        When it was counted.
    """

    at: datetime
    role_count: int
    roles: tuple[UnusedRole, ...]
    account_count: int
    accounts: tuple[DormantAccount, ...]


def summarize_unused(tx: ReadTransaction, limit: int = 20) -> UnusedAccess:
    """Return the unused roles and dormant accounts of the whole installation; reads every assignment once.

    At a million assignments that takes seconds: run it in a background task, not in a request.
    """
    roles, accounts = find_unused_roles(tx, limit=limit), find_dormant_accounts(tx, limit)
    role_count = tx.conn.execute(select(func.count()).select_from(_with_uses()).where(*_is_unused(tx.now))).scalar_one()
    return UnusedAccess(tx.now, role_count, roles, _count_dormant_accounts(tx), accounts)


def find_unused_roles(
    tx: ReadTransaction, scopes: Collection[str] | None = None, *, limit: int = 100, after: int = 0
) -> tuple[UnusedRole, ...]:
    """Return unused roles in the order in which they were given, at most ``limit``.

    Parameters
    ----------
    scopes : collection of str, optional
        Only those in these scopes.
    after : int
        Only assignments with a greater id: the last one of the page before.
    """
    query = select(_a, _u.c.last_used).select_from(_with_uses()).where(*_is_unused(tx.now))
    if scopes is not None:
        query = query.where(_a.c.scope.in_(sorted(scopes)))
    if after:
        query = query.where(_a.c.id > after)
    return tuple(
        UnusedRole(row.id, row.role, row.scope, row.identity, row.granted_by, row.granted, row.last_used)
        for row in tx.conn.execute(query.order_by(_a.c.id).limit(limit))
    )


def find_dormant_accounts(
    tx: ReadTransaction, limit: int = 100, *, after: Identity | None = None
) -> tuple[DormantAccount, ...]:
    """Return dormant users, then dormant service accounts, each by name, at most ``limit``.

    Parameters
    ----------
    after : Identity, optional
        The last one of the page before.
    """
    accounts: list[DormantAccount] = []
    for kind, query in _dormant_queries(tx.now):
        if after is not None and after.kind is IdentityKind.SERVICE_ACCOUNT and kind != after.kind:
            continue
        if after is not None and kind == after.kind:
            query = query.where(query.selected_columns.name > after.name)
        rows = tx.conn.execute(query.limit(limit - len(accounts)))
        accounts += (DormantAccount(f"{kind}:{row.name}", row.created, row.last_used) for row in rows)
    return tuple(accounts)


def _count_dormant_accounts(tx: ReadTransaction) -> int:
    counts = (
        select(func.count()).select_from(query.order_by(None).subquery()) for _, query in _dormant_queries(tx.now)
    )
    return sum(tx.conn.execute(count).scalar_one() for count in counts)


def _with_uses() -> Any:
    return _a.outerjoin(_u, _u.c.assignment_id == _a.c.id)


def _is_unused(now: datetime) -> tuple[ColumnElement[bool], ...]:
    limit = now - DORMANT_AFTER
    return (
        _a.c.granted <= limit,
        or_(_u.c.last_used.is_(None), _u.c.last_used <= limit),
        or_(_a.c.starts.is_(None), _a.c.starts <= limit),
        or_(_a.c.ends.is_(None), _a.c.ends > now),
    )


def _dormant_queries(now: datetime) -> tuple[tuple[str, Any], ...]:
    limit = now - DORMANT_AFTER
    users, accounts, sessions, keys = tables.users, tables.service_accounts, tables.sessions, tables.credentials
    has_session = (
        select(sessions.c.id)
        .where(sessions.c.user == users.c.name, sessions.c.ended.is_(None), sessions.c.last_seen > limit)
        .exists()
    )
    people = (
        select(users.c.name, users.c.created, users.c.last_seen.label("last_used"))
        .where(
            users.c.active,
            users.c.created <= limit,
            or_(users.c.last_seen.is_(None), users.c.last_seen <= limit),
            ~has_session,
        )
        .order_by(users.c.name)
    )
    # A service account without a credential cannot be used at all, so it is not dormant.
    last_used = func.max(keys.c.last_used)
    programs = (
        select(accounts.c.name, accounts.c.created, last_used.label("last_used"))
        .join(keys, keys.c.service_account_id == accounts.c.id)
        .where(accounts.c.active, accounts.c.created <= limit, keys.c.expires > now, keys.c.created <= limit)
        .group_by(accounts.c.name, accounts.c.created)
        .having(or_(last_used.is_(None), last_used <= limit))
        .order_by(accounts.c.name)
    )
    return (("user", people), ("service-account", programs))
