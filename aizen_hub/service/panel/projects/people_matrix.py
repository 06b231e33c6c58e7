"""The matrix of a project by people: who may run which command now, those with equal rows together; and as CSV."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from aizen_hub.accounts.projects import roster
from aizen_hub.accounts.projects.roster import RosterFilter
from aizen_hub.api_models.schema import Schema
from aizen_hub.authorization.queries import role_coverage
from aizen_hub.authorization.queries.member_matrix import AnswerKind, MatrixAnswer, MatrixRow, member_matrix
from aizen_hub.catalogs.catalog import CommandEntry
from aizen_hub.problems import BadInput
from aizen_hub.rbac.role import ScopeKind
from aizen_hub.service.http.route import RawResponse
from aizen_hub.service.panel.csv_file import csv_response, to_csv
from aizen_hub.service.panel.pages import page_route, show_page
from aizen_hub.service.panel.paging import EMPTY_IS_NONE, OptionalText
from aizen_hub.service.panel.projects.matrix import MAX_MEMBERS, find_task, task_slug
from aizen_hub.service.panel.projects.project_head import read_head, require_readable
from aizen_hub.service.panel.visibility import Viewer
from aizen_hub.service.pipeline.request_context import RequestContext
from aizen_hub.store.transaction import ReadTransaction

_MOST_DIFFERENT = 7
_MAX_GROUPS = 100
_MAX_ALIKE = 20


class PeopleMatrixQuery(Schema):
    q: OptionalText = None
    commands: OptionalText = None
    command: OptionalText = None
    role: OptionalText = None
    answer: Annotated[Literal["yes", "no", "until", "stopped"] | None, EMPTY_IS_NONE] = None


@dataclass(frozen=True, slots=True)
class AlikeRows:
    """Members with the same roles and the same answers: the first one is shown, the others are named."""

    first: MatrixRow
    others: tuple[MatrixRow, ...]


async def show_people(ctx: RequestContext) -> RawResponse:
    name, query = ctx.path_params["project"], ctx.query

    def read(viewer: Viewer) -> dict[str, Any]:
        tx, project = viewer.tx, require_readable(viewer, name)
        commands = role_coverage.commands_in(tx.catalog, ScopeKind.PROJECT)
        criteria = RosterFilter(query.q or "", query.role or "")
        identities = roster.member_identities(tx, name, criteria, limit=MAX_MEMBERS + 1)
        rows = member_matrix(tx, name, identities[:MAX_MEMBERS], commands)
        columns = _columns(tx, commands, rows, query)
        rows = _narrow(rows, commands, columns)
        if query.answer is not None:
            wanted = AnswerKind(query.answer)
            rows = [row for row in rows if any(answer.kind is wanted for answer in row.answers)]
        groups = _alike(rows)
        counts = roster.count_by_role(tx, roster.roster_of(tx, name, RosterFilter()))
        return {
            **read_head(viewer, project, "matrix"),
            "query": query,
            "columns": columns,
            "column_tasks": _task_spans(columns),
            "tasks": [(task_slug(task), task) for task in _tasks(commands)],
            "present_roles": [(role, f"{role} ({count})") for role, count in counts.items()],
            "groups": groups[:_MAX_GROUPS],
            "max_alike": _MAX_ALIKE,
            "more_groups": max(0, len(groups) - _MAX_GROUPS),
            "shown": len(rows),
            "too_many": len(identities) > MAX_MEMBERS,
            "max_members": MAX_MEMBERS,
        }

    return await show_page(
        ctx,
        "projects/matrix_people.html",
        read,
        fragment="results",
        audit_details=lambda _: {"project": name, "details": {"query": "matrix"}},
        pool=ctx.service.pools.queries,
    )


def _tasks(commands: Sequence[CommandEntry]) -> list[str]:
    return list(dict.fromkeys(entry.task for entry in commands))


def _columns(
    tx: ReadTransaction, commands: Sequence[CommandEntry], rows: Sequence[MatrixRow], query: PeopleMatrixQuery
) -> list[CommandEntry]:
    if query.command:
        text = " ".join(query.command.casefold().split())
        columns = [entry for entry in commands if entry.name == text] or [
            entry for entry in commands if text in entry.name
        ]
        if columns:
            return columns
        raise BadInput("no command of a project is called that", remedy="choose a task instead")
    if query.commands:
        task = find_task(tx, query.commands)
        return [entry for entry in commands if entry.task == task]
    return _most_different(commands, rows)


def _most_different(commands: Sequence[CommandEntry], rows: Sequence[MatrixRow]) -> list[CommandEntry]:
    """Return the commands in which the members differ most, one for each way in which they differ, by task."""
    patterns: dict[tuple[bool, ...], list[int]] = {}
    # Members with the same roles share one tuple of answers: each is read once, not once a member.
    sharing = Counter(id(row.answers) for row in rows)
    shared = {id(row.answers): [answer.is_yes for answer in row.answers] for row in _rows_by_answers(rows)}
    yes = [0] * len(commands)
    for index in range(len(commands)):
        patterns.setdefault(tuple(answers[index] for answers in shared.values()), []).append(index)
        yes[index] = sum(number for key, number in sharing.items() if shared[key][index])
    half = len(rows) / 2
    chosen: list[int] = []
    # One command of each pattern, then second ones: of other tasks first.
    ordered = sorted(patterns.values(), key=lambda indexes: abs(yes[indexes[0]] - half))
    while len(chosen) < min(_MOST_DIFFERENT, len(commands)):
        for indexes in ordered:
            used = {commands[index].task for index in chosen}
            left = [index for index in indexes if index not in chosen]
            if left and len(chosen) < _MOST_DIFFERENT:
                chosen.append(next((index for index in left if commands[index].task not in used), left[0]))
    return [commands[index] for index in sorted(chosen)]


def _rows_by_answers(rows: Sequence[MatrixRow]) -> Iterable[MatrixRow]:
    """Return one row for each tuple of answers that the rows share."""
    return {id(row.answers): row for row in rows}.values()


def _narrow(
    rows: Sequence[MatrixRow], commands: Sequence[CommandEntry], columns: Sequence[CommandEntry]
) -> list[MatrixRow]:
    places = {entry.name: index for index, entry in enumerate(commands)}
    indexes = [places[entry.name] for entry in columns]
    narrow = {id(row.answers): tuple(row.answers[index] for index in indexes) for row in _rows_by_answers(rows)}
    return [MatrixRow(row.identity, row.roles, narrow[id(row.answers)]) for row in rows]


def _alike(rows: Sequence[MatrixRow]) -> list[AlikeRows]:
    groups: dict[Any, list[MatrixRow]] = {}
    for row in rows:
        groups.setdefault((row.roles, row.answers), []).append(row)
    return [AlikeRows(members[0], tuple(members[1:])) for members in groups.values()]


def _task_spans(columns: Sequence[CommandEntry]) -> list[tuple[str, int]]:
    spans: list[tuple[str, int]] = []
    for entry in columns:
        if spans and spans[-1][0] == entry.task:
            spans[-1] = (entry.task, spans[-1][1] + 1)
        else:
            spans.append((entry.task, 1))
    return spans


async def download_matrix(ctx: RequestContext) -> RawResponse:
    """Return the whole matrix, every member and every command, as CSV."""
    name = ctx.path_params["project"]

    def operation(tx: Any) -> str:
        viewer = Viewer(tx)
        require_readable(viewer, name)
        commands = role_coverage.commands_in(tx.catalog, ScopeKind.PROJECT)
        identities = roster.member_identities(tx, name, RosterFilter(), limit=MAX_MEMBERS + 1)
        if len(identities) > MAX_MEMBERS:
            raise BadInput(
                f"the project has more than {MAX_MEMBERS:,} members, too many for one file",
                remedy="use `aizen-hub who-can` for single commands",
            )
        rows = member_matrix(tx, name, identities, commands)
        return to_csv(
            ["account", "roles", *(entry.name for entry in commands)],
            ([str(row.identity), ", ".join(row.roles), *map(_cell_text, row.answers)] for row in rows),
        )

    text = await ctx.authorized_read(
        operation,
        audit_details=lambda _: {"project": name, "details": {"query": "matrix-file"}},
        pool=ctx.service.pools.queries,
    )
    return csv_response(text, f"{name}-matrix.csv")


def _cell_text(answer: MatrixAnswer) -> str:
    return answer.ends.isoformat() if answer.ends is not None else answer.kind.value


ROUTES = (
    page_route("/projects/{project}/matrix/-/people", show_people, "Who may run what in a project.", PeopleMatrixQuery),
    page_route("/projects/{project}/matrix/-/csv", download_matrix, "The matrix of a project as CSV."),
)
