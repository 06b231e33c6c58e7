"""The few steps of a policy: roles, projects, groups and their members, each by the function of its command."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import Table, select

from aizen_hub.accounts.groups import management, membership
from aizen_hub.accounts.projects import lifecycle
from aizen_hub.accounts.roles import custom_roles
from aizen_hub.authorization import checks
from aizen_hub.authorization.delegation import self_grant_remedy_for
from aizen_hub.commands.result import Result
from aizen_hub.policy.format import CustomRoleForm
from aizen_hub.policy.loader import Policy
from aizen_hub.problems import Conflict, Denied, Fault, Problem
from aizen_hub.rbac.identity import Identity
from aizen_hub.rbac.role import SYSTEM, Role
from aizen_hub.store import tables
from aizen_hub.store.rights.memberships import chunked

if TYPE_CHECKING:
    from aizen_hub.store.transaction import ActorTransaction, ReadTransaction, WriteTransaction

_g, _m, _r = tables.groups, tables.memberships, tables.roles


@dataclass(frozen=True, slots=True)
class PolicyStep:
    """One change of a policy, made by the function of the command that does the same.

    Attributes
    ----------
    pointer : str
        JSON pointer to the part of the file that asks for it.
    text : str
        The change as a short sentence.
    change : callable
    """

    pointer: str
    text: str
    change: Callable[[WriteTransaction], Result]

    def run(self, tx: WriteTransaction) -> Result:
        """Make the change; its problem names the step as a fault, and the role that would help."""
        try:
            return self.change(tx)
        except Problem as problem:
            missing = problem.extensions.get("missing") if isinstance(problem, Denied) else None
            if missing and problem.remedy is None:
                problem.remedy = self_grant_remedy_for(tx, missing)
            raise with_fault(problem, self.pointer, self.text) from None


def with_fault(problem: Problem, pointer: str, step: str) -> Problem:
    """Return the problem with the step that it belongs to as its fault."""
    problem.faults = problem.faults or (Fault(pointer, f"{step}: {problem.detail}"),)
    return problem


def opening_steps(tx: ActorTransaction, policy: Policy, *, prune: bool) -> list[PolicyStep]:
    """Return the steps before the assignments: roles, projects, groups, members; with ``prune`` members that go."""
    if policy.form.groups or (prune and "groups" in policy.form.model_fields_set):
        _require_sees_groups(tx)
    return [*_role_steps(tx, policy), *_project_steps(tx, policy), *_group_steps(tx, policy, prune)]


def _require_sees_groups(tx: ActorTransaction) -> None:
    """Require that the actor may know all groups: what a policy would change tells who is in them now (R72)."""
    if not checks.is_allowed(tx, checks.endpoint_permission(tx, "access"), SYSTEM):
        try:
            checks.require(tx, checks.endpoint_permission(tx, "groups"))
        except Denied as problem:
            raise with_fault(problem, "/groups", "groups") from None


def closing_steps(tx: ReadTransaction, policy: Policy) -> list[PolicyStep]:
    """Return the steps after the assignments if the policy is pruned: groups and roles that the file omits."""
    steps, sections = [], policy.form.model_fields_set
    if "groups" in sections:
        local = select(_g.c.name).where(_g.c.provider.is_(None), _g.c.built_in.is_(False)).order_by(_g.c.name)
        steps += [
            PolicyStep("/groups", f"delete group {name}", _delete_group(name))
            for name in tx.conn.execute(local).scalars()
            if name not in policy.form.groups
        ]
    if "roles" in sections:
        steps += [
            PolicyStep("/roles", f"delete role {name}", _delete_role(name))
            for name in tx.conn.execute(select(_r.c.name).order_by(_r.c.name)).scalars()
            if name not in policy.form.roles
        ]
    return steps


def altered_roles(tx: ReadTransaction, policy: Policy) -> frozenset[str]:
    """Return the custom roles that the policy creates or changes."""
    return frozenset(
        name
        for name, form in policy.form.roles.items()
        if (role := tx.roles.get(name)) is None or _content(form) != _content_of(role)
    )


def _role_steps(tx: ReadTransaction, policy: Policy) -> Iterator[PolicyStep]:
    altered = altered_roles(tx, policy)
    for name, form in policy.form.roles.items():
        pointer, present = f"/roles/{name}", tx.roles.get(name)
        if present is None:
            yield PolicyStep(pointer, f"create role {name}", _create_role(name, form))
            continue
        if set(form.scopes) != set(present.scopes):
            raise Conflict(f"the scopes of the role {name} cannot change", remedy="create another role")
        if name in altered:
            yield PolicyStep(pointer, f"alter role {name}", _update_role(name, form))


def _content(form: CustomRoleForm) -> tuple[object, ...]:
    return frozenset(form.permissions), dict(form.limits), form.description, form.category


def _content_of(role: Role) -> tuple[object, ...]:
    return role.permissions, dict(role.limits), role.description, role.category


def _project_steps(tx: ActorTransaction, policy: Policy) -> Iterator[PolicyStep]:
    names = policy.form.projects or ()
    present = visible_projects(tx, names)
    for index, name in enumerate(names):
        if name not in present:
            yield PolicyStep(f"/projects/{index}", f"create project {name}", _create_project(name))


def _group_steps(tx: ReadTransaction, policy: Policy, prune: bool) -> Iterator[PolicyStep]:
    # All groups first, since groups may contain each other.
    present_groups = present_names(tx, _g, policy.form.groups)
    for name in policy.form.groups:
        if name not in present_groups:
            yield PolicyStep(f"/groups/{name}", f"create group {name}", _create_group(name))
    present_members = _local_members(tx, present_groups)
    for name, members in policy.form.groups.items():
        pointer, present = f"/groups/{name}", present_members[name]
        for member in sorted(set(members) - present):
            yield PolicyStep(pointer, f"add {member} to {name}", _add_member(name, member))
        for member in sorted(present - set(members)) if prune else ():
            yield PolicyStep(pointer, f"remove {member} from {name}", _remove_member(name, member))


def present_names(tx: ReadTransaction, table: Table, names: Iterable[str]) -> set[str]:
    """Return the names that are in the column ``name`` of a table."""
    present: set[str] = set()
    for chunk in chunked(sorted(names)):
        present |= set(tx.conn.execute(select(table.c.name).where(table.c.name.in_(chunk))).scalars())
    return present


def visible_projects(tx: ActorTransaction, names: Iterable[str]) -> set[str]:
    """Return those of the projects that exist and that the actor can see: others are as good as missing (R72)."""
    present = present_names(tx, tables.projects, names)
    if checks.is_operator(tx):
        return present
    scopes = checks.member_scopes(tx, tx.actor.identity)
    return present if SYSTEM in scopes else present & scopes


def _local_members(tx: ReadTransaction, groups: Iterable[str]) -> defaultdict[str, set[Identity]]:
    members: defaultdict[str, set[Identity]] = defaultdict(set)
    query = select(_g.c.name, _m.c.member).join(_m, _m.c.group_id == _g.c.id).where(_m.c.provider.is_(None))
    for chunk in chunked(sorted(groups)):
        for row in tx.conn.execute(query.where(_g.c.name.in_(chunk))):
            members[row.name].add(Identity.parse(row.member))
    return members


def _create_role(name: str, form: CustomRoleForm) -> Callable[[WriteTransaction], Result]:
    return lambda tx: custom_roles.create_role(
        tx,
        name,
        permissions=sorted(map(str, form.permissions)),
        limits={str(kind): value for kind, value in form.limits.items()},
        scopes=sorted(map(str, form.scopes)),
        description=form.description,
        category=form.category,
    )


def _update_role(name: str, form: CustomRoleForm) -> Callable[[WriteTransaction], Result]:
    return lambda tx: custom_roles.update_role(
        tx,
        name,
        permissions=sorted(map(str, form.permissions)),
        limits={str(kind): value for kind, value in form.limits.items()},
        description=form.description,
        category=form.category,
    )


def _create_project(name: str) -> Callable[[WriteTransaction], Result]:
    return lambda tx: lifecycle.create_project(tx, name)


def _create_group(name: str) -> Callable[[WriteTransaction], Result]:
    return lambda tx: management.create_group(tx, name)


def _add_member(name: str, member: Identity) -> Callable[[WriteTransaction], Result]:
    return lambda tx: membership.add_member(tx, name, member)


def _remove_member(name: str, member: Identity) -> Callable[[WriteTransaction], Result]:
    return lambda tx: membership.remove_member(tx, name, member)


def _delete_group(name: str) -> Callable[[WriteTransaction], Result]:
    return lambda tx: management.delete_group(tx, name)


def _delete_role(name: str) -> Callable[[WriteTransaction], Result]:
    return lambda tx: custom_roles.delete_role(tx, name)
