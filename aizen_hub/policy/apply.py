"""Application of a policy file to the store, through the same functions as every other change.

Each section of the file is made exact within what it names: the members of its groups, the assignments in its scopes.
Only memberships and assignments are deleted because the file omits them and, with ``prune``, the local groups and
custom roles that its sections omit. A file never deletes users and projects: their names stay reserved and other
records depend on them, so they have commands of their own. Directory groups, the automatic role of a project's creator,
and users who are not registered are not changed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from aizen_hub.accounts.groups import management, membership
from aizen_hub.accounts.projects import lifecycle, lookup
from aizen_hub.accounts.roles import assignments, custom_roles
from aizen_hub.authorization.delegation import self_grant_remedy_for
from aizen_hub.commands.result import Result, table_result
from aizen_hub.policy.loader import Policy
from aizen_hub.problems import Conflict, Denied, Fault, Problem
from aizen_hub.rbac.assignment import Interval
from aizen_hub.rbac.identity import Identity
from aizen_hub.rbac.role import SYSTEM, project_of
from aizen_hub.store import tables

if TYPE_CHECKING:
    from aizen_hub.store.transaction import ReadTransaction, WriteTransaction

Step = tuple[str, Result]
_a, _g, _m, _r = tables.assignments, tables.groups, tables.memberships, tables.roles
_REASON = "policy file"


def apply_policy(tx: WriteTransaction, policy: Policy, *, prune: bool = False) -> Result:
    """Apply a policy, completely or not at all.

    Parameters
    ----------
    prune : bool
        Delete local groups and custom roles that the file omits, if it has the section `groups` or `roles`.

    Returns
    -------
    Result
        A table with one row per step; the outcome of a step that is pending confirmation says so.

    Raises
    ------
    Conflict
        The policy was read for another catalog than that of the deployment.
    Problem
        The error of a step, with the step's JSON pointer as its fault.
    """
    if policy.catalog.hash != tx.catalog.hash:
        raise Conflict(f"the policy is for the catalog `{policy.catalog.name}`, this deployment runs another")
    done = [(step, result.message) for step, result in _policy_steps(tx, policy, prune)]
    return table_result(("step", "outcome"), done, f"{len(done)} changes" if done else "nothing to change")


def _policy_steps(tx: WriteTransaction, policy: Policy, prune: bool) -> Iterator[Step]:
    yield from _role_steps(tx, policy)
    yield from _project_steps(tx, policy)
    yield from _group_steps(tx, policy)
    if "assignments" in policy.form.model_fields_set:
        yield from _assignment_steps(tx, policy)
    if prune:
        yield from _prune_steps(tx, policy)


def _role_steps(tx: WriteTransaction, policy: Policy) -> Iterator[Step]:
    for name, form in policy.form.roles.items():
        pointer = f"/roles/{name}"
        permissions = sorted(map(str, form.permissions))
        limits = {str(kind): value for kind, value in form.limits.items()}
        present = tx.roles.get(name)
        if present is None:
            yield _run_step(
                pointer,
                f"create role {name}",
                custom_roles.create_role,
                tx,
                name,
                permissions=permissions,
                limits=limits,
                scopes=sorted(map(str, form.scopes)),
                description=form.description,
                category=form.category,
            )
            continue
        if set(form.scopes) != set(present.scopes):
            raise Conflict(f"the scopes of the role {name} cannot change", remedy="create another role")
        desired = (frozenset(form.permissions), dict(form.limits), form.description, form.category)
        if desired != (present.permissions, dict(present.limits), present.description, present.category):
            yield _run_step(
                pointer,
                f"alter role {name}",
                custom_roles.update_role,
                tx,
                name,
                permissions=permissions,
                limits=limits,
                description=form.description,
                category=form.category,
            )


def _project_steps(tx: WriteTransaction, policy: Policy) -> Iterator[Step]:
    for index, name in enumerate(policy.form.projects or ()):
        if not lookup.project_exists(tx, name):
            yield _run_step(f"/projects/{index}", f"create project {name}", lifecycle.create_project, tx, name)


def _group_steps(tx: WriteTransaction, policy: Policy) -> Iterator[Step]:
    # Create all groups first, since groups may contain each other.
    for name in policy.form.groups:
        if tx.conn.execute(select(_g.c.id).where(_g.c.name == name)).first() is None:
            yield _run_step(f"/groups/{name}", f"create group {name}", management.create_group, tx, name)
    for name, members in policy.form.groups.items():
        pointer, present = f"/groups/{name}", _local_members(tx, name)
        for member in sorted(set(members) - present):
            yield _run_step(pointer, f"add {member} to {name}", membership.add_member, tx, name, member)
        for member in sorted(present - set(members)):
            yield _run_step(pointer, f"remove {member} from {name}", membership.remove_member, tx, name, member)


def _assignment_steps(tx: WriteTransaction, policy: Policy) -> Iterator[Step]:
    desired = {(form.role, form.scope, form.identity) for form in policy.form.assignments}
    # Grants come before revocations, so that a protected role always keeps a holder.
    for index, assignment in enumerate(policy.form.assignments):
        row = assignments.find_assignment(tx, assignment.role, assignment.scope, assignment.identity)
        interval = Interval(assignment.starts, assignment.ends)
        if row is None or Interval(row.starts, row.ends) != interval:
            yield _run_step(
                f"/assignments/{index}",
                f"grant {assignment.role} in {assignment.scope} to {assignment.identity}",
                assignments.grant_roles,
                tx,
                [assignment.role],
                project_of(assignment.scope),
                assignment.identity,
                interval=interval,
                reason=assignment.reason or _REASON,
            )
    for row in _governed_assignments(tx, policy):
        identity = Identity.parse(row.identity)
        if not row.creator and (row.role, row.scope, identity) not in desired:
            yield _run_step(
                "/assignments",
                f"revoke {row.role} in {row.scope} from {identity}",
                assignments.revoke_roles,
                tx,
                [row.role],
                project_of(row.scope),
                identity,
                reason=_REASON,
            )


def _prune_steps(tx: WriteTransaction, policy: Policy) -> Iterator[Step]:
    sections = policy.form.model_fields_set
    if "groups" in sections:
        local = select(_g.c.name).where(_g.c.provider.is_(None), _g.c.built_in.is_(False)).order_by(_g.c.name)
        for name in tx.conn.execute(local).scalars().all():
            if name not in policy.form.groups:
                yield _run_step("/groups", f"delete group {name}", management.delete_group, tx, name)
    if "roles" in sections:
        for name in tx.conn.execute(select(_r.c.name).order_by(_r.c.name)).scalars().all():
            if name not in policy.form.roles:
                yield _run_step("/roles", f"delete role {name}", custom_roles.delete_role, tx, name)


def _governed_assignments(tx: ReadTransaction, policy: Policy) -> list[Any]:
    """Return the assignments in the file's scopes: its projects, and the system if it assigns roles there."""
    scopes = set(policy.projects)
    if any(assignment.scope == SYSTEM for assignment in policy.assignments):
        scopes.add(SYSTEM)
    query = select(_a).where(_a.c.scope.in_(sorted(scopes)), _a.c.mapped.is_(False))
    query = query.order_by(_a.c.scope, _a.c.role, _a.c.identity)
    return list(tx.conn.execute(query))


def _local_members(tx: ReadTransaction, name: str) -> set[Identity]:
    query = select(_m.c.member).join(_g, _m.c.group_id == _g.c.id).where(_g.c.name == name, _m.c.provider.is_(None))
    return {Identity.parse(member) for member in tx.conn.execute(query).scalars()}


def _run_step(
    pointer: str, step: str, operation: Callable[..., Result], tx: WriteTransaction, *args: Any, **kwargs: Any
) -> Step:
    try:
        return step, operation(tx, *args, **kwargs)
    except Problem as problem:
        missing = problem.extensions.get("missing") if isinstance(problem, Denied) else None
        if missing and problem.remedy is None:
            problem.remedy = self_grant_remedy_for(tx, missing)
        problem.faults = problem.faults or (Fault(pointer, f"{step}: {problem.detail}"),)
        raise
