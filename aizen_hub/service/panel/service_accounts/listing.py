"""The list of service accounts: who controls each, what it may do, and when its credentials end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

from sqlalchemy import ColumnElement, func, or_, select

from aizen_hub.service.panel.identity_rows import HeldSummary, contains_text, locked_identities, summarize_roles
from aizen_hub.service.panel.paging import EMPTY_IS_NONE, OptionalText, Page, PageQuery, Sort, read_page
from aizen_hub.store import tables

if TYPE_CHECKING:
    from aizen_hub.service.panel.visibility import Viewer

_s, _c = tables.service_accounts, tables.credentials
SORTS = (Sort("name", (_s.c.name,)),)


class AccountState(StrEnum):
    """Whether a service account can be used."""

    ACTIVE = "active"
    STOPPED = "stopped"
    INACTIVE = "inactive"


class ServiceAccountsQuery(PageQuery):
    """Which service accounts are listed; ``q`` is a part of the name or the description."""

    q: OptionalText = None
    state: Annotated[AccountState | None, EMPTY_IS_NONE] = None


@dataclass(frozen=True, slots=True)
class ServiceAccountRow:
    """One service account of the list; ``ends`` is when the last of its valid credentials ends."""

    name: str
    description: str
    controller: str | None
    state: AccountState
    built_in: bool
    roles: tuple[HeldSummary, ...]
    credentials: int
    ends: datetime | None
    last_used: datetime | None


def list_accounts(viewer: Viewer, query: ServiceAccountsQuery) -> tuple[Page, tuple[ServiceAccountRow, ...]]:
    """Return a page of the service accounts that the viewer may see: also those that they control.

    Raises
    ------
    BadInput
        The address is not one of this list.
    """
    page = read_page(viewer.tx, select(_s).where(*visible_accounts(viewer), *_conditions(viewer, query)), SORTS, query)
    return page, _complete_rows(viewer, page.rows)


def visible_accounts(viewer: Viewer) -> list[ColumnElement[bool]]:
    """Return the conditions on the accounts that a viewer may see."""
    if viewer.sees_all or viewer.may("service-accounts"):
        return []
    names = viewer.service_accounts
    assert names is not None, "a viewer who does not see everything sees named accounts"
    return [or_(_s.c.controller == str(viewer.identity), _s.c.name.in_(sorted(names)))]


def _conditions(viewer: Viewer, query: ServiceAccountsQuery) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if query.q is not None and (text := query.q.strip()):
        conditions.append(or_(*(contains_text(viewer.tx, column, text) for column in (_s.c.name, _s.c.description))))
    if query.state is not None:
        locks = tables.locks
        locked = select(func.substr(locks.c.name, len("service-account:") + 1)).where(
            locks.c.target == "identity",
            locks.c.name.like("service-account:%"),
            or_(locks.c.ends.is_(None), locks.c.ends > viewer.tx.now),
        )
        if query.state is AccountState.STOPPED:
            conditions.append(_s.c.name.in_(locked))
        else:
            conditions.append(_s.c.name.not_in(locked))
            conditions.append(_s.c.active if query.state is AccountState.ACTIVE else ~_s.c.active)
    return conditions


def _complete_rows(viewer: Viewer, rows: Sequence[Any]) -> tuple[ServiceAccountRow, ...]:
    tx, identities = viewer.tx, [f"service-account:{row.name}" for row in rows]
    roles, locked = summarize_roles(tx, identities, viewer.projects), locked_identities(tx, identities)
    valid = select(
        _c.c.service_account_id.label("account"),
        func.count().label("number"),
        func.max(_c.c.expires).label("ends"),
        func.max(_c.c.last_used).label("last_used"),
    ).where(_c.c.service_account_id.in_([row.id for row in rows]), _c.c.expires > tx.now)
    credentials = {row.account: row for row in tx.conn.execute(valid.group_by(_c.c.service_account_id))}
    return tuple(
        ServiceAccountRow(
            row.name,
            row.description,
            row.controller,
            AccountState.STOPPED
            if f"service-account:{row.name}" in locked
            else AccountState.ACTIVE
            if row.active
            else AccountState.INACTIVE,
            row.built_in,
            roles.get(f"service-account:{row.name}", ()),
            credentials[row.id].number if row.id in credentials else 0,
            credentials[row.id].ends if row.id in credentials else None,
            credentials[row.id].last_used if row.id in credentials else None,
        )
        for row in rows
    )
