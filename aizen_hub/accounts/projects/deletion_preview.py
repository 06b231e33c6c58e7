"""What ends when a project is stopped or deleted, counted before it is done."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, select

from aizen_hub.accounts import pending_changes
from aizen_hub.accounts.projects import roster
from aizen_hub.accounts.projects.roster import RosterFilter
from aizen_hub.rbac.identity import Identity
from aizen_hub.store import tables

if TYPE_CHECKING:
    from aizen_hub.store.transaction import ReadTransaction

_SHOWN_MEMBERS = 8


@dataclass(frozen=True, slots=True)
class DeletionPreview:
    """What belongs to a project: roles of accounts, running servers and jobs, rules, limits and waiting requests.

    Attributes
    ----------
    accounts : int
        Users, groups and service accounts with a role, directly or through a group.
    first_members : tuple of Identity
        The first users and service accounts among them, by name.
    more_members : int
        The users and service accounts that are not among the first.
    """

    roles: int
    accounts: int
    first_members: tuple[Identity, ...]
    more_members: int
    servers: int
    jobs: int
    rules: int
    limits: int
    requests: int


def preview_deletion(tx: ReadTransaction, project: str) -> DeletionPreview:
    """Return what ends with a project."""
    a, sessions, jobs = tables.assignments, tables.sessions, tables.jobs
    rules, limits, pending = tables.mapping_rules, tables.scope_limits, tables.pending_changes
    members = roster.roster_of(tx, project, RosterFilter())
    first = roster.member_identities(tx, project, RosterFilter(), limit=_SHOWN_MEMBERS)
    return DeletionPreview(
        _count(tx, a, a.c.scope == project),
        roster.count_accounts(tx, members),
        tuple(first),
        roster.count_accounts(tx, members, with_groups=False) - len(first),
        _count(tx, sessions, sessions.c.project == project, sessions.c.ended.is_(None)),
        _count(tx, jobs, jobs.c.project == project, jobs.c.ended.is_(None)),
        _count(tx, rules, rules.c.project == project),
        _count(tx, limits, limits.c.scope == project),
        _count(
            tx,
            pending,
            pending.c.state == "waiting",
            pending.c.kind == pending_changes.ACCESS_REQUEST,
            pending.c.payload["scope"].as_string() == project,
            pending.c.expires > tx.now,
        ),
    )


def _count(tx: ReadTransaction, table: Any, *conditions: Any) -> int:
    return tx.conn.execute(select(func.count()).select_from(table).where(*conditions)).scalar_one()
