"""Route for the completion of command lines and names; nothing that the requesting user may not know (R72)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

from sqlalchemy import ColumnElement, Table, select

from aizen_hub.api_models.completions import CompletionsQuery, CompletionsView
from aizen_hub.authorization import checks
from aizen_hub.authorization.visibility import VisibleObjects
from aizen_hub.commands.authorization_request import build_authorization_request
from aizen_hub.commands.command import Command
from aizen_hub.commands.completion import CompletionKind, NextWord, next_word
from aizen_hub.commands.lexer import quote
from aizen_hub.commands.parser import parse_command
from aizen_hub.jobs.quota import job_user
from aizen_hub.problems import Problem
from aizen_hub.service.http.route import ANY_REGISTERED, ROLE_CHECKED_METHODS, JsonResponse, Route
from aizen_hub.service.pipeline.request_context import RequestContext
from aizen_hub.store import tables
from aizen_hub.store.collation import in_code_points
from aizen_hub.store.rights.memberships import chunked
from aizen_hub.store.transaction import ActorTransaction, ReadTransaction

Found = tuple[str, str, str]
"""Text, kind, description."""
_MAX_EXAMINED = 200
_WRITTEN = frozenset({"word", "key"})
"""Kinds of completions that are written as they are; names may need quotes."""
_u, _g, _s, _p, _j = tables.users, tables.groups, tables.service_accounts, tables.projects, tables.jobs


async def complete(ctx: RequestContext) -> JsonResponse:
    query: CompletionsQuery = ctx.query
    project = query.project or ctx.actor.project

    def operation(tx: ActorTransaction) -> dict[str, Any]:
        visible = VisibleObjects(tx)
        if query.line is None:
            expected = NextWord(0, query.prefix, kinds=(CompletionKind(query.kind or ""),))
        else:
            expected = next_word(query.line[: query.cursor], tx.catalog)
        found: list[Found] = [(word, "word", description) for word, description in expected.words]
        for kind in expected.kinds:
            if kind in (CompletionKind.OBJECT, CompletionKind.KEY):
                found += _names_in_jobs(ctx, tx, expected, kind, project)
            else:
                found += _FINDERS[kind](visible, expected.stem, query.limit + 1)
        if query.line is not None:
            found = [(text if kind in _WRITTEN else quote(text), kind, words) for text, kind, words in found]
        unique = list({text: (text, kind, description) for text, kind, description in reversed(found)}.values())[::-1]
        return {
            "start": expected.start,
            "end": expected.start + len(expected.stem),
            "completions": [
                {"text": text, "kind": kind, "description": description}
                for text, kind, description in unique[: query.limit]
            ],
            "more": len(unique) > query.limit,
        }

    return JsonResponse(await ctx.authorized_read(operation))


def _find_projects(visible: VisibleObjects, stem: str, limit: int) -> list[Found]:
    rows = checks.visible_projects(visible.tx, visible.identity)
    found = [(row.name, "project", row.description) for row in rows if row.name.startswith(stem)]
    return found[:limit]


def _find_users(visible: VisibleObjects, stem: str, limit: int) -> list[Found]:
    return _find_rows(visible.tx, _u, _u.c.display_name, visible.people, stem, limit, "user")


def _find_groups(visible: VisibleObjects, stem: str, limit: int) -> list[Found]:
    return _find_rows(visible.tx, _g, _g.c.description, visible.groups, stem, limit, "group")


def _find_accounts(visible: VisibleObjects, stem: str, limit: int) -> list[Found]:
    return _find_rows(visible.tx, _s, _s.c.description, visible.service_accounts, stem, limit, "service-account")


def _find_identities(visible: VisibleObjects, stem: str, limit: int) -> list[Found]:
    """Return users by their name, and the others with the prefix of their kind, once it is typed."""
    kind, colon, name = stem.partition(":")
    finder = {"group": _find_groups, "service-account": _find_accounts}.get(kind) if colon else _find_users
    if finder is None:
        return []
    found = finder(visible, name if colon else stem, limit)
    return [(f"{kind}:{text}" if colon else text, found_kind, description) for text, found_kind, description in found]


def _find_roles(visible: VisibleObjects, stem: str, limit: int) -> list[Found]:
    roles = [role for role in visible.tx.roles.values() if role.name.lower().startswith(stem.lower())]
    return [(role.name, "role", role.description) for role in roles[:limit]]


_FINDERS: Mapping[CompletionKind, Callable[[VisibleObjects, str, int], list[Found]]] = {
    CompletionKind.PROJECT: _find_projects,
    CompletionKind.USER: _find_users,
    CompletionKind.GROUP: _find_groups,
    CompletionKind.SERVICE_ACCOUNT: _find_accounts,
    CompletionKind.IDENTITY: _find_identities,
    CompletionKind.ROLE: _find_roles,
}


def _find_rows(
    tx: ReadTransaction,
    table: Table,
    text: ColumnElement[str],
    visible: Collection[str] | None,
    stem: str,
    limit: int,
    kind: str,
) -> list[Found]:
    query = select(table.c.name, text.label("text")).order_by(in_code_points(tx, table.c.name)).limit(limit)
    if visible is None:
        rows = list(tx.conn.execute(query.where(*_begins_with(tx, table.c.name, stem))))
    else:
        names = sorted(name for name in visible if name.startswith(stem))[:limit]
        rows = [row for chunk in chunked(names) for row in tx.conn.execute(query.where(table.c.name.in_(chunk)))]
    return [(row.name, kind, row.text or "") for row in rows]


def _names_in_jobs(
    ctx: RequestContext, tx: ActorTransaction, expected: NextWord, kind: CompletionKind, project: str | None
) -> Iterable[Found]:
    """Return names, or keys, of earlier jobs with the same noun: own ones, or all there if the command is allowed.

    What the core has is known to the core only; what was started through this service is known here.
    """
    entry = expected.entry
    if entry is None:
        return []
    noun = f"{entry.noun} "
    begins = (noun + expected.stem) if kind is CompletionKind.OBJECT else noun
    request = ctx.decision_request(build_authorization_request(Command(entry, {}, None), project, ctx.identity))
    # What the command is allowed in is where its names are: a right in the system is none to read a project's jobs.
    conditions = [_j.c.project == request.request.scope, *_begins_with(tx, _j.c.key, begins)]
    if not ctx.service.decisions.evaluate_unrecorded(tx, request).allowed:
        conditions.append(_j.c.user == job_user(ctx.identity))
    if kind is CompletionKind.OBJECT:
        names = select(_j.c.key).where(*conditions).distinct().order_by(_j.c.key).limit(_MAX_EXAMINED)
        return [(key[len(noun) :], "object", entry.noun) for key in tx.conn.execute(names).scalars()]
    newest = select(_j.c.command).where(*conditions).order_by(_j.c.started.desc()).limit(_MAX_EXAMINED)
    keys = dict.fromkeys(key for line in tx.conn.execute(newest).scalars() for key in _keys_of(tx, line))
    return [(f"{key}=", "key", "") for key in keys if key.startswith(expected.stem)]


def _begins_with(tx: ReadTransaction, column: ColumnElement[str], text: str) -> tuple[ColumnElement[bool], ...]:
    # A range, not LIKE, so that SQLite uses the index of the names.
    ordered = in_code_points(tx, column)
    return (ordered >= text, ordered < text + "\U0010ffff")


def _keys_of(tx: ReadTransaction, line: str) -> Iterable[str]:
    try:
        command = parse_command(line, tx.catalog)
    except Problem:  # started under another catalog
        return ()
    return (key for key in command.arguments if key not in command.entry.syntax.arguments)


ROUTES = (
    Route(
        "GET",
        "/api/v1/completions",
        ROLE_CHECKED_METHODS,
        ANY_REGISTERED,
        complete,
        "Complete a command line, or a name of one kind.",
        query=CompletionsQuery,
        response=CompletionsView,
    ),
)
