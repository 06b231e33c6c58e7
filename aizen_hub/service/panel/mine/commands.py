"""Page *What I may do*: the commands that the viewer may run in a project or the system, by task and kind of object."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from aizen_hub.authorization import checks
from aizen_hub.authorization.queries.member_matrix import MatrixAnswer, member_matrix
from aizen_hub.authorization.queries.role_coverage import commands_in
from aizen_hub.catalogs.catalog import Catalog, CommandEntry
from aizen_hub.rbac.role import SYSTEM, ScopeKind
from aizen_hub.service.http.route import RawResponse
from aizen_hub.service.panel.pages import page_route, show_page
from aizen_hub.service.panel.visibility import Viewer, not_in_panel
from aizen_hub.service.pipeline.request_context import RequestContext


@dataclass(frozen=True, slots=True)
class ObjectCommands:
    """What may be done with one kind of object.

    Attributes
    ----------
    words : tuple of str
        What is allowed, in words for people.
    allowed, others : tuple of CommandEntry
    """

    task: str
    name: str
    words: tuple[str, ...]
    allowed: tuple[CommandEntry, ...]
    others: tuple[CommandEntry, ...]


async def show_commands(ctx: RequestContext) -> RawResponse:
    scope = ctx.path_params["project"]

    def read(viewer: Viewer) -> dict[str, Any]:
        tx = viewer.tx
        if scope != SYSTEM and not checks.can_see_project(tx, viewer.identity, scope):
            raise not_in_panel()
        entries = commands_in(tx.catalog, ScopeKind.SYSTEM if scope == SYSTEM else ScopeKind.PROJECT)
        (row,) = member_matrix(tx, scope, [viewer.identity], entries)
        objects = group_by_object(tx.catalog, zip(entries, row.answers, strict=True))
        tasks: dict[str, list[ObjectCommands]] = {}
        for entry in objects:
            tasks.setdefault(entry.task, []).append(entry)
        return {
            "scope": scope,
            "tasks": tasks,
            "allowed": sum(answer.is_yes for answer in row.answers),
            "total": len(entries),
            "roles": row.roles,
        }

    return await show_page(ctx, "mine/commands.html", read)


def group_by_object(catalog: Catalog, answers: Iterable[tuple[CommandEntry, MatrixAnswer]]) -> list[ObjectCommands]:
    """Return the commands with their answers by kind of object, in the order of the catalog."""
    groups: dict[str, list[tuple[CommandEntry, MatrixAnswer]]] = {}
    for entry, answer in answers:
        groups.setdefault(entry.group, []).append((entry, answer))
    result = []
    for group, members in groups.items():
        allowed = tuple(entry for entry, answer in members if answer.is_yes)
        words = dict.fromkeys(catalog.word_of(entry.permission.verb) for entry in allowed if entry.permission)
        result.append(
            ObjectCommands(
                members[0][0].task,
                group.rpartition("/")[2].strip() or members[0][0].task,
                tuple(words),
                allowed,
                tuple(entry for entry, answer in members if not answer.is_yes),
            )
        )
    return result


ROUTES = (page_route("/me/commands/{project}", show_commands, "What I may do in one project or the system."),)
