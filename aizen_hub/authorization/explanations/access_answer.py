"""The answer to *why*: the verdict, the path that allows, why every other path does not, and ways to allow it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from aizen_hub.authorization import checks
from aizen_hub.authorization.explanations.ways_to_allow import WayToAllow, find_ways
from aizen_hub.authorization.queries.hypothetical_state import HypotheticalState, hypothetical_rights
from aizen_hub.catalogs.catalog import Catalog, CommandEntry, CommandScope
from aizen_hub.problems import BadInput, NotFound
from aizen_hub.rbac.assignment import Lock
from aizen_hub.rbac.decision import AuthorizationRequest, Decision, Reason
from aizen_hub.rbac.engine import GrantPath, explain
from aizen_hub.rbac.identity import Identity, IdentityKind
from aizen_hub.rbac.permission import Permission
from aizen_hub.rbac.role import SYSTEM
from aizen_hub.store import tables
from aizen_hub.store.rights.memberships import chunked
from aizen_hub.validation.printable import excerpt

if TYPE_CHECKING:
    from aizen_hub.store.transaction import ActorTransaction, ReadTransaction

_a = tables.assignments
_NO_ROLE_HELPS = frozenset({Reason.NOT_ACTIVE, Reason.UNKNOWN_PROJECT, Reason.ARCHIVED})


@dataclass(frozen=True, slots=True)
class AccessQuestion:
    """May this identity do this, there, then, and if more were given?

    Attributes
    ----------
    action : CommandEntry or Permission
    hypothesis : HypotheticalState
        With the time of the question; None there: now.
    line : str or None
        The whole command line, where its arguments decide too.
    """

    identity: Identity
    action: CommandEntry | Permission
    scope: str
    hypothesis: HypotheticalState = field(default_factory=HypotheticalState)
    line: str | None = None

    @property
    def permission(self) -> Permission | None:
        return self.action.permission if isinstance(self.action, CommandEntry) else self.action

    @property
    def words(self) -> str:
        """The action as people type it."""
        if self.line is not None:
            return self.line
        return self.action.name if isinstance(self.action, CommandEntry) else str(self.action)

    @property
    def is_supposed(self) -> bool:
        return bool(self.hypothesis.assignments or self.hypothesis.groups)


@dataclass(frozen=True, slots=True)
class TriedPath:
    """One path of the explanation, with where its assignment comes from.

    Attributes
    ----------
    granted_by, granted, reason : str, datetime and str, or None
        None for a supposed assignment.
    """

    path: GrantPath
    granted_by: str | None = None
    granted: datetime | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class AccessAnswer:
    """The answer, as its reader may see it.

    Attributes
    ----------
    winning : TriedPath or None
    others : tuple of TriedPath
        Paths in scopes where the reader may not read access are left out.
    lock : Lock or None
        The lock on the identity, the project or a group that decides, or the archive of the project.
    ways : tuple of WayToAllow
        Empty where it is allowed, or where no role would help.
    """

    question: AccessQuestion
    at: datetime
    revision: int
    decision: Decision
    winning: TriedPath | None
    others: tuple[TriedPath, ...]
    lock: Lock | None
    ways: tuple[WayToAllow, ...]


def parse_action(catalog: Catalog, text: str) -> CommandEntry | Permission:
    """Return the command whose words the text begins with, or the permission that it is.

    Raises
    ------
    BadInput
        It is neither.
    """
    words = " ".join(text.split())
    if words.count(":") == 1 and " " not in words:
        try:
            return Permission.parse(words)
        except ValueError as error:
            raise BadInput(str(error)) from None
    parts = words.split(" ")
    for length in range(len(parts), 0, -1):
        entry = catalog.find_command(" ".join(parts[:length]))
        if entry is not None:
            return entry
    raise BadInput(
        f"there is no command `{excerpt(words)}`", remedy="write a command, such as `start training`, or a permission"
    )


def scope_of_action(action: CommandEntry | Permission, project: str | None) -> str:
    """Return where an action is decided: system commands in the system, whatever project is named.

    Raises
    ------
    BadInput
        A command of a project, and no project is named.
    """
    if isinstance(action, CommandEntry):
        if action.scope in (CommandScope.SYSTEM, CommandScope.SELF):
            return SYSTEM
        if action.scope is CommandScope.PROJECT and project is None:
            raise BadInput(f"`{action.name}` is a command of a project", remedy="name the project")
    return project or SYSTEM


def answer_question(tx: ActorTransaction, question: AccessQuestion) -> AccessAnswer:
    """Answer a question of the actor: about themselves, or about others where the actor may read access.

    Raises
    ------
    NotFound
        The project does not exist or is not visible to the actor, or there is no such identity (R72).
    Denied
        Another identity or a supposed group, without the permission to read access; or while impersonating.
    BadInput
        A supposed role or group does not exist.
    """
    checks.forbid_impersonation(tx)
    if question.scope != SYSTEM:
        checks.require_visible_project(tx, question.scope)
    is_own = question.identity == tx.actor.identity
    if not is_own or question.hypothesis.groups:
        _require_may_read(tx, question.scope)
    if not is_own and not _exists(tx, question.identity):
        raise NotFound(f"there is no {question.identity.kind} `{excerpt(question.identity.name)}`")
    rights = tx.rights(question.identity)
    if question.is_supposed:
        _require_supposed_groups(tx, question.hypothesis)
        rights = hypothetical_rights(tx, question.identity, question.hypothesis)
    now = question.hypothesis.at or tx.now
    explanation = explain(rights, AuthorizationRequest(question.permission, question.scope), now)
    decision = explanation.decision
    origins = _read_origins(
        tx, [path.held_role.assignment_id for path in (*explanation.others, explanation.winning) if path]
    )
    lock = rights.active_lock(question.scope, None, now)
    if decision.reason is Reason.ARCHIVED:
        lock = rights.active_archive(question.scope, now)
    if lock is None and decision.reason is Reason.LOCKED:
        held_roles = (path.held_role for path in explanation.others)
        lock = next(
            (held.active_lock(now) for held in held_roles if held.assignment_id == decision.assignment_id), None
        )
    ways: list[WayToAllow] = []
    is_blocked = decision.reason in _NO_ROLE_HELPS or rights.active_lock(question.scope, None, now) is not None
    if not decision.allowed and question.permission is not None and not is_blocked:
        ways = find_ways(tx, question.permission, question.scope, question.identity)
    return AccessAnswer(
        question,
        now,
        tx.revision,
        decision,
        None if explanation.winning is None else _with_origin(explanation.winning, origins),
        tuple(_with_origin(path, origins) for path in _visible_paths(tx, explanation.others, question, is_own)),
        lock,
        tuple(ways),
    )


def _require_may_read(tx: ActorTransaction, scope: str) -> None:
    # A lock on the project denies everything in it; those who may read access everywhere are told of the lock.
    permission = checks.endpoint_permission(tx, "access")
    if not checks.is_allowed(tx, permission, SYSTEM):
        checks.require(tx, permission, scope)


def _visible_paths(
    tx: ActorTransaction, paths: tuple[GrantPath, ...], question: AccessQuestion, is_own: bool
) -> list[GrantPath]:
    if is_own or checks.is_operator(tx):
        return list(paths)
    # Paths in other scopes are shown only to users who may read access there.
    permission = checks.endpoint_permission(tx, "access")
    scopes = {path.held_role.scope for path in paths}
    readable = {scope for scope in scopes if scope == question.scope or checks.is_allowed(tx, permission, scope)}
    return [path for path in paths if path.held_role.scope in readable]


def _read_origins(tx: ReadTransaction, assignment_ids: list[str]) -> dict[str, Any]:
    ids = sorted({int(assignment_id) for assignment_id in assignment_ids if assignment_id.isdecimal()})
    return {
        str(row.id): row
        for chunk in chunked(ids)
        for row in tx.conn.execute(
            select(_a.c.id, _a.c.granted_by, _a.c.granted, _a.c.reason).where(_a.c.id.in_(chunk))
        )
    }


def _with_origin(path: GrantPath, origins: dict[str, Any]) -> TriedPath:
    row, tried = origins.get(path.held_role.assignment_id), TriedPath(path)
    return tried if row is None else replace(tried, granted_by=row.granted_by, granted=row.granted, reason=row.reason)


def _require_supposed_groups(tx: ReadTransaction, hypothesis: HypotheticalState) -> None:
    for name in hypothesis.groups:
        if not _exists(tx, Identity.group(name)):
            raise BadInput(f"there is no group `{excerpt(name)}`")


def _exists(tx: ReadTransaction, identity: Identity) -> bool:
    table = {
        IdentityKind.USER: tables.users,
        IdentityKind.GROUP: tables.groups,
        IdentityKind.SERVICE_ACCOUNT: tables.service_accounts,
    }[identity.kind]
    return tx.conn.execute(select(table.c.id).where(table.c.name == identity.name)).first() is not None
