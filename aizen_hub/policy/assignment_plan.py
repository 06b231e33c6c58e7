"""The assignments that a policy changes, found and authorized without the write lock."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from aizen_hub.accounts.identities import require_identity
from aizen_hub.accounts.roles import assignments
from aizen_hub.accounts.roles.staged_assignments import AssignmentChange, AssignmentKey
from aizen_hub.authorization import checks
from aizen_hub.authorization.delegation import GrantAuthority, escalation_error
from aizen_hub.commands.result import Result
from aizen_hub.policy.loader import Policy
from aizen_hub.policy.steps import PolicyStep, altered_roles, visible_projects, with_fault
from aizen_hub.problems import Problem, TooLarge
from aizen_hub.rbac.assignment import Interval
from aizen_hub.rbac.identity import Identity, IdentityKind
from aizen_hub.rbac.protected_roles import role_requires_confirmation
from aizen_hub.rbac.role import SYSTEM, project_of
from aizen_hub.store import tables
from aizen_hub.store.rights.memberships import chunked

if TYPE_CHECKING:
    from aizen_hub.store.transaction import ActorTransaction, ReadTransaction, WriteTransaction

MAX_CHANGES = 100_000
"""Maximum number of assignments that one policy may change."""
MAX_SINGLE = 20
"""Up to so many changes are made one by one in a single short transaction; more are staged."""
REASON = "policy file"
_a = tables.assignments
_IDENTITY_TABLES = {
    IdentityKind.USER: tables.users,
    IdentityKind.GROUP: tables.groups,
    IdentityKind.SERVICE_ACCOUNT: tables.service_accounts,
}
Rest = Callable[[], None]


@dataclass(frozen=True, slots=True)
class AssignmentPlan:
    """The assignments that a policy changes.

    Attributes
    ----------
    bulk : tuple of AssignmentChange
        Changes that can be staged: each is authorized by its role, scope and kind of identity alone.
    single : tuple of AssignmentChange
        Changes that the ordinary functions make, one by one: protected roles, which wait for confirmation, and what
        concerns the actor, a creator or a mapping rule; all of them, where they are few.
    unlisted : int
        Assignments in the file's scopes that the file omits, and that stay because the policy is not pruned; only those
        that the actor may read.
    scopes : frozenset of str
        The scopes of the file.
    unchanged : tuple of AssignmentChange
        What is there already, where the actor may not read access: that it is there is told only to an actor who may
        grant it.
    """

    bulk: tuple[AssignmentChange, ...]
    single: tuple[AssignmentChange, ...]
    unlisted: int
    scopes: frozenset[str]
    unchanged: tuple[AssignmentChange, ...] = ()

    def single_steps(self) -> list[PolicyStep]:
        """Return the single changes as steps: grants first, so that a protected role always keeps a holder."""
        granted = [change for change in self.single if change.after is not None]
        revoked = [change for change in self.single if change.after is None]
        return [PolicyStep(change.pointer, change.step, _change_one(change)) for change in (*granted, *revoked)]


def plan_assignments(tx: ActorTransaction, policy: Policy, *, prune: bool, rest: Rest) -> AssignmentPlan:
    """Compare the policy's assignments with the store.

    Parameters
    ----------
    rest : callable
        Called often; see `OperationControl.rest`.

    Raises
    ------
    TooLarge
    """
    if "assignments" not in policy.form.model_fields_set:
        return AssignmentPlan((), (), 0, frozenset())
    system = {SYSTEM} if any(assignment.scope == SYSTEM for assignment in policy.assignments) else set()
    scopes = system | visible_projects(tx, policy.projects)
    readable = {scope for scope in scopes if checks.is_allowed(tx, checks.endpoint_permission(tx, "access"), scope)}
    present: dict[AssignmentKey, Any] = {}
    for row in _read_assignments(tx, scopes, rest):
        present[row.role, row.scope, row.identity] = row
    changes: dict[AssignmentKey, AssignmentChange] = {}
    listed: set[AssignmentKey] = set()
    unchanged: list[AssignmentChange] = []
    for index, form in enumerate(policy.form.assignments):
        rest()
        key = (form.role, form.scope, str(form.identity))
        listed.add(key)
        row, interval = present.get(key), Interval(form.starts, form.ends)
        changes.pop(key, None)
        if row is not None and Interval(row.starts, row.ends) == interval and form.scope in readable:
            continue
        change = _change(row, f"/assignments/{index}", *key[:2], form.identity, interval, form.reason)
        if row is None or change.before != interval:
            changes[key] = change
        else:
            unchanged.append(change)
    unlisted = [row for key, row in present.items() if key not in listed and not row.creator and not row.mapped]
    if prune:
        for row in unlisted:
            rest()
            identity = Identity.parse(row.identity)
            changes[row.role, row.scope, row.identity] = _change(
                row, "/assignments", row.role, row.scope, identity, None, ""
            )
    if len(changes) > MAX_CHANGES:
        raise TooLarge(f"the policy changes {len(changes)} assignments", remedy=f"at most {MAX_CHANGES} at once")
    single = _SingleChanges(tx, policy)
    parts: tuple[list[AssignmentChange], list[AssignmentChange]] = ([], [])
    few = len(changes) <= MAX_SINGLE
    for change in changes.values():
        rest()
        parts[few or single.includes(change)].append(change)
    stay = 0 if prune else sum(row.scope in readable for row in unlisted)
    governed = frozenset(system.union(policy.projects))
    return AssignmentPlan(tuple(parts[0]), tuple(parts[1]), stay, governed, tuple(unchanged))


def check_changes(tx: ActorTransaction, changes: Iterable[AssignmentChange], rest: Rest) -> None:
    """Authorize staged changes as the functions of the commands do, each combination of role and scope once.

    Raises
    ------
    NotFound, BadInput, Escalation
        With the first change that is refused as a fault.
    """
    authority, checked = GrantAuthority.of_actor(tx), set()
    for change in changes:
        rest()
        try:
            interval, present = change.after, change.before
            if interval is not None:
                assignments.check_interval(tx, interval)
            shortened = present is not None and (interval is None or assignments.shortens(tx, interval, present))
            key = (change.role, change.scope, change.identity.kind, interval is not None, shortened)
            if key not in checked:
                _check_one(tx, authority, change, shortened)
                checked.add(key)
        except Problem as problem:
            raise with_fault(problem, change.pointer, change.step) from None


def combine_checks(changes: Iterable[AssignmentChange]) -> tuple[AssignmentChange, ...]:
    """Return changes whose authorization is that of all: of plain grants of a role in a scope the one that ends first.

    For `check_changes` in a transaction that has to be short.
    """
    combined: dict[tuple[object, ...], AssignmentChange] = {}
    for change in changes:
        interval = change.after
        is_plain = change.before is None and interval is not None and interval.starts is None
        key = (change.role, change.scope, change.identity.kind) if is_plain else change.key
        present = combined.get(key)
        if present is None or _ends_before(change, present):
            combined[key] = change
    return tuple(combined.values())


def _ends_before(change: AssignmentChange, other: AssignmentChange) -> bool:
    ends, other_ends = (None if item.after is None else item.after.ends for item in (change, other))
    return ends is not None and (other_ends is None or ends < other_ends)


def check_identities(tx: ActorTransaction, changes: Iterable[AssignmentChange], created: Iterable[Identity]) -> None:
    """Require that every identity of a grant is registered, or created by the policy itself; raises NotFound."""
    first: dict[Identity, AssignmentChange] = {}
    for change in changes:
        if change.after is not None:
            first.setdefault(change.identity, change)
    known = set(created)
    for kind, table in _IDENTITY_TABLES.items():
        names = [identity.name for identity in first if identity.kind is kind]
        for chunk in chunked(names):
            query = select(table.c.name).where(table.c.name.in_(chunk))
            known |= {Identity(kind, name) for name in tx.conn.execute(query).scalars()}
    for identity, change in first.items():
        if identity not in known:
            try:
                require_identity(tx, identity)
            except Problem as problem:
                raise with_fault(problem, change.pointer, change.step) from None


def depends_on_steps(tx: ActorTransaction, policy: Policy) -> Callable[[AssignmentChange], bool]:
    """Return whether the steps before it make a change possible at all: one in a new project, or of a new role."""
    roles = altered_roles(tx, policy)
    projects = set(policy.projects) - visible_projects(tx, policy.projects)
    return lambda change: change.role in roles or change.scope in projects


def _check_one(tx: ActorTransaction, authority: GrantAuthority, change: AssignmentChange, shortened: bool) -> None:
    role, scope, identity = tx.roles[change.role], change.scope, change.identity
    assignments.resolve_scope(tx, role, project_of(scope))
    if change.after is not None:
        missing = authority.missing_to_grant(tx, role, scope, identity, ends=change.after.ends)
        if missing:
            raise escalation_error(tx, "grant", role.name, scope, missing, identity)
    if shortened:
        missing = authority.missing_to_revoke(tx, role, scope, identity)
        if missing:
            raise escalation_error(tx, "revoke", role.name, scope, missing, identity)


class _SingleChanges:
    """Tells the changes that the ordinary functions have to make, for one actor."""

    def __init__(self, tx: ActorTransaction, policy: Policy) -> None:
        self._roles = {**tx.roles, **policy.roles}  # with the content that the policy gives them
        self._member_permissions = tx.catalog.member_permissions
        self._protected: dict[tuple[str, bool], bool] = {}
        actor = tx.actor.identity
        own = {actor} if checks.is_operator(tx) else checks.controlled_identities(tx, actor)
        self._own = frozenset({actor, *own, *checks.transitive_groups(tx, actor)})

    def includes(self, change: AssignmentChange) -> bool:
        if change.creator or change.mapped or change.identity in self._own:
            return True
        key = (change.role, change.scope == SYSTEM)
        if key not in self._protected:
            role = self._roles[change.role]
            self._protected[key] = role.protected or role_requires_confirmation(
                role, change.scope, self._roles, self._member_permissions
            )
        return self._protected[key]


def _read_assignments(tx: ReadTransaction, scopes: Iterable[str], rest: Rest) -> Iterator[Any]:
    columns = (_a.c.id, _a.c.role, _a.c.scope, _a.c.identity, _a.c.starts, _a.c.ends, _a.c.creator, _a.c.mapped)
    for chunk in chunked(sorted(scopes), 50):
        rest()
        result = tx.conn.execute(select(*columns).where(_a.c.scope.in_(chunk)).order_by(_a.c.id))
        while rows := result.fetchmany(500):
            rest()
            yield from rows


def _change(
    row: Any, pointer: str, role: str, scope: str, identity: Identity, after: Interval | None, reason: str
) -> AssignmentChange:
    if row is None:
        return AssignmentChange(pointer, role, scope, identity, None, None, after, reason or REASON)
    before = Interval(row.starts, row.ends)
    return AssignmentChange(
        pointer, role, scope, identity, row.id, before, after, reason or REASON, row.creator, row.mapped
    )


def _change_one(change: AssignmentChange) -> Callable[[WriteTransaction], Result]:
    scope, interval = project_of(change.scope), change.after
    if interval is None:
        return lambda tx: assignments.revoke_roles(tx, [change.role], scope, change.identity, reason=change.reason)
    return lambda tx: assignments.grant_roles(
        tx, [change.role], scope, change.identity, interval=interval, reason=change.reason
    )
