"""A request for a role in a project by a user who has nothing to start, from the spawn page of the hub."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aizen_hub.accounts.roles import access_requests, request_checks, request_settlement
from aizen_hub.accounts.sessions import project_entry
from aizen_hub.problems import BadInput
from aizen_hub.rbac.role import SYSTEM, Role, ScopeKind
from aizen_hub.store import tables
from aizen_hub.validation.duration import EXAMPLE, parse_duration

if TYPE_CHECKING:
    from aizen_hub.commands.result import Result
    from aizen_hub.rbac.identity import Identity
    from aizen_hub.store.transaction import ReadTransaction, WriteTransaction


def askable_roles(tx: ReadTransaction, identity: Identity) -> list[Role]:
    """Return the roles of projects that can be requested."""
    groups = request_checks.requestable_roles(tx, identity)
    return [role for _, roles in groups for role in roles if ScopeKind.PROJECT in role.scopes]


def pending_requests(tx: ReadTransaction, identity: Identity) -> list[Any]:
    """Return the rows of a user's requests for roles in projects that were not decided yet, the newest first."""
    rows = request_settlement.pending_requests(tx, tables.pending_changes.c.requested_by == str(identity))
    return [row for row in reversed(rows) if row.payload["scope"] != SYSTEM]


def request_project(tx: WriteTransaction, project: str, role: str, *, duration: str, reason: str) -> Result:
    """Request a role in a project, as the actor, whom the hub has signed in.

    Raises
    ------
    Denied
        The account is locked or not active.
    BadInput
        The duration is none, or any fault of `access_requests.request_access`.
    Problem
        Any problem of `access_requests.request_access`.
    """
    project_entry.require_active(tx, tx.actor.identity)
    length = parse_duration(duration)
    if duration and length is None:
        raise BadInput(f"`{duration}` is no duration", remedy=EXAMPLE)
    until = None if length is None else tx.now + length
    return access_requests.request_access(tx, role, project, reason=reason, until=until)
