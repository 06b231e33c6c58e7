"""Tab *Matrix* of a project: how much of each task a role allows, and the commands of one task by role."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from aizen_hub.accounts.projects import roster
from aizen_hub.accounts.projects.roster import RosterFilter
from aizen_hub.api_models.schema import Schema
from aizen_hub.authorization.queries import role_coverage
from aizen_hub.authorization.queries.member_matrix import member_matrix
from aizen_hub.authorization.queries.role_coverage import TaskShare
from aizen_hub.catalogs.catalog import CommandEntry
from aizen_hub.rbac.default_denials import any_covers
from aizen_hub.rbac.identity import IdentityKind
from aizen_hub.rbac.permission import Permission
from aizen_hub.rbac.role import Role, ScopeKind
from aizen_hub.service.http.route import RawResponse
from aizen_hub.service.panel.pages import page_route, show_page
from aizen_hub.service.panel.paging import OptionalText
from aizen_hub.service.panel.projects.project_head import read_head, require_readable
from aizen_hub.service.panel.visibility import Viewer, not_in_panel
from aizen_hub.service.pipeline.request_context import RequestContext
from aizen_hub.store.transaction import ReadTransaction

MAX_MEMBERS = 2_000
"""The largest number of members whose rights one page reads."""
_MAX_FOUND = 20


class MatrixQuery(Schema):
    q: OptionalText = None
    all: OptionalText = None


@dataclass(frozen=True, slots=True)
class RoleShares:
    """A role with how much of each task it allows."""

    role: Role
    accounts: int
    shares: tuple[TaskShare, ...]
    allowed: int


def task_slug(task: str) -> str:
    """Return a task as it is written in addresses."""
    return "-".join(task.casefold().split())


def find_task(tx: ReadTransaction, slug: str) -> str:
    """Return the task of an address; raises the problem of a page that does not exist."""
    for task in tx.catalog.tasks:
        if task_slug(task) == slug:
            return task
    raise not_in_panel()


def project_roles(tx: ReadTransaction, counts: Mapping[str, int], *, every: bool) -> list[Role]:
    """Return the roles that a matrix shows: built-in ones, then custom ones, of which only the assigned ones count.

    Parameters
    ----------
    every : bool
        Custom roles that are not assigned too.
    """
    roles = [role for role in tx.roles.values() if ScopeKind.PROJECT in role.scopes]
    return [role for role in roles if role.built_in or every or role.name in counts]


def role_permissions(tx: ReadTransaction, role: Role) -> frozenset[Permission]:
    """Return what a role gives in a project."""
    return role_coverage.permissions_in(tx.catalog, role, ScopeKind.PROJECT)


async def show_matrix(ctx: RequestContext) -> RawResponse:
    name, query = ctx.path_params["project"], ctx.query

    def read(viewer: Viewer) -> dict[str, Any]:
        tx, project = viewer.tx, require_readable(viewer, name)
        counts = roster.count_by_role(tx, roster.roster_of(tx, name, RosterFilter()))
        roles = project_roles(tx, counts, every=bool(query.all))
        shares = [_shares(tx, role, counts.get(role.name, 0)) for role in roles]
        total = role_coverage.task_shares(tx.catalog, frozenset(), ScopeKind.PROJECT)
        commands = role_coverage.commands_in(tx.catalog, ScopeKind.PROJECT)
        every = project_roles(tx, counts, every=True)
        return {
            **read_head(viewer, project, "matrix"),
            "tasks": [(share.task, task_slug(share.task), share.total) for share in total],
            "shares": shares,
            "commands": len(commands),
            "hidden_roles": len(every) - len(roles),
            "only": role_coverage.exclusive_commands(
                tx.catalog, {role.name: role for role in roles}, ScopeKind.PROJECT
            ),
            "matches": _matches(tx, commands, every, query.q) if query.q else [],
            "query": query,
        }

    return await show_page(ctx, "projects/matrix.html", read, pool=ctx.service.pools.queries)


def _shares(tx: ReadTransaction, role: Role, accounts: int) -> RoleShares:
    shares = role_coverage.task_shares(tx.catalog, role_permissions(tx, role), ScopeKind.PROJECT)
    return RoleShares(role, accounts, shares, sum(share.allowed for share in shares))


def _matches(
    tx: ReadTransaction, commands: tuple[CommandEntry, ...], roles: list[Role], text: str
) -> list[tuple[CommandEntry, list[Role]]]:
    """Return the commands that fit a text, each with the roles that allow it."""
    words = text.casefold().split()
    found = [entry for entry in commands if all(word in entry.name for word in words)]
    exact = [entry for entry in found if entry.name == " ".join(words)]
    return [(entry, [role for role in roles if _allows(tx, role, entry)]) for entry in (exact or found)[:_MAX_FOUND]]


def _allows(tx: ReadTransaction, role: Role, entry: CommandEntry) -> bool:
    return entry.permission is None or any_covers(role_permissions(tx, role), entry.permission)


async def show_task(ctx: RequestContext) -> RawResponse:
    name, slug, query = ctx.path_params["project"], ctx.path_params["task"], ctx.query

    def read(viewer: Viewer) -> dict[str, Any]:
        tx, project = viewer.tx, require_readable(viewer, name)
        task = find_task(tx, slug)
        commands = [entry for entry in role_coverage.commands_in(tx.catalog, ScopeKind.PROJECT) if entry.task == task]
        if not commands:
            raise not_in_panel()
        members = roster.roster_of(tx, name, RosterFilter())
        counts = roster.count_by_role(tx, members)
        roles = project_roles(tx, counts, every=bool(query.all))
        return {
            **read_head(viewer, project, "matrix"),
            "task": task,
            "tasks": [
                (share.task, task_slug(share.task), share.total)
                for share in role_coverage.task_shares(tx.catalog, frozenset(), ScopeKind.PROJECT)
            ],
            "roles": roles,
            "rows": [(entry, [_allows(tx, role, entry) for role in roles]) for entry in commands],
            "holders": _holders(tx, name, commands),
            "query": query,
        }

    return await show_page(ctx, "projects/matrix_task.html", read, pool=ctx.service.pools.queries)


def _holders(tx: ReadTransaction, project: str, commands: list[CommandEntry]) -> list[tuple[int, int]] | None:
    """Return how many members, people and service accounts, may run each command now; None if there are too many."""
    identities = roster.member_identities(tx, project, RosterFilter(), limit=MAX_MEMBERS + 1)
    if len(identities) > MAX_MEMBERS:
        return None
    rows = member_matrix(tx, project, identities, commands)
    counts = []
    for index in range(len(commands)):
        kinds = [row.identity.kind for row in rows if row.answers[index].is_yes]
        counts.append((kinds.count(IdentityKind.USER), kinds.count(IdentityKind.SERVICE_ACCOUNT)))
    return counts


ROUTES = (
    page_route("/projects/{project}/matrix", show_matrix, "Which role allows how much of each task.", MatrixQuery),
    page_route("/projects/{project}/matrix/{task}", show_task, "The commands of one task, by role.", MatrixQuery),
)
