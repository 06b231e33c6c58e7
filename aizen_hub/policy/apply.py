"""Make the store what a policy file says, through the same functions as every other change.

Each section that the file holds is made exact, within what it names: members of the groups it names, assignments in the
scopes it names. Nothing is deleted by being left out but memberships and assignments, and where that is asked for the
local groups and custom roles that its sections leave out. Users and projects are never deleted by a file: their names
stay reserved and more hangs on them than it shows, so they have commands of their own. What a directory feeds, a
creator's own role and people who are not registered stay as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from aizen_hub.accounts.groups import groups
from aizen_hub.accounts.projects import projects
from aizen_hub.accounts.roles import assignments, roles
from aizen_hub.commands.result import Result, table
from aizen_hub.policy.policy import Policy
from aizen_hub.problems import Conflict, Fault, Problem
from aizen_hub.rbac.assignment import Interval
from aizen_hub.rbac.identity import Identity
from aizen_hub.rbac.role import SYSTEM, project_of
from aizen_hub.store import tables

if TYPE_CHECKING:
    from aizen_hub.store.transaction import Read, Write

Step = tuple[str, Result]
_a, _g, _m, _r = tables.assignments, tables.groups, tables.memberships, tables.roles
_REASON = "policy file"


def apply(tx: Write, policy: Policy, *, prune: bool = False) -> Result:
    """Apply a policy; all of it happens, or nothing.

    Parameters
    ----------
    prune : bool
        Delete local groups and custom roles that the file leaves out, if it has the section `groups` or `roles`.

    Returns
    -------
    Result
        A table of what was done, one row a step; steps that wait for confirmation say so.

    Raises
    ------
    Conflict
        The policy was read for another catalog than the deployment's.
    Problem
        What the functions of the steps raise, with the step as its place.
    """
    if policy.catalog.hash != tx.catalog.hash:
        raise Conflict(f"the policy is for the catalog `{policy.catalog.name}`, this deployment runs another")
    done = [(what, result.message) for what, result in _steps(tx, policy, prune)]
    return table(("step", "outcome"), done, f"{len(done)} changes" if done else "nothing to change")


def _steps(tx: Write, policy: Policy, prune: bool) -> Iterator[Step]:
    yield from _roles(tx, policy)
    yield from _projects(tx, policy)
    yield from _groups(tx, policy)
    if "assignments" in policy.form.model_fields_set:
        yield from _assignments(tx, policy)
    if prune:
        yield from _pruned(tx, policy)


def _roles(tx: Write, policy: Policy) -> Iterator[Step]:
    for name, form in policy.form.roles.items():
        place = f"/roles/{name}"
        permissions = sorted(map(str, form.permissions))
        limits = {str(kind): value for kind, value in form.limits.items()}
        present = tx.roles.get(name)
        if present is None:
            yield _step(
                place,
                f"create role {name}",
                roles.create,
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
            raise Conflict(f"the scopes of the role {name} cannot change", remedy="make another role")
        wanted = (frozenset(form.permissions), dict(form.limits), form.description, form.category)
        if wanted != (present.permissions, dict(present.limits), present.description, present.category):
            yield _step(
                place,
                f"alter role {name}",
                roles.alter,
                tx,
                name,
                permissions=permissions,
                limits=limits,
                description=form.description,
                category=form.category,
            )


def _projects(tx: Write, policy: Policy) -> Iterator[Step]:
    for index, name in enumerate(policy.form.projects or ()):
        if not projects.exists(tx, name):
            yield _step(f"/projects/{index}", f"create project {name}", projects.create, tx, name)


def _groups(tx: Write, policy: Policy) -> Iterator[Step]:
    # All groups first, since they nest.
    for name in policy.form.groups:
        if tx.conn.execute(select(_g.c.id).where(_g.c.name == name)).first() is None:
            yield _step(f"/groups/{name}", f"create group {name}", groups.create, tx, name)
    for name, members in policy.form.groups.items():
        place, present = f"/groups/{name}", _local_members(tx, name)
        for member in sorted(set(members) - present):
            yield _step(place, f"put {member} into {name}", groups.add_member, tx, name, member)
        for member in sorted(present - set(members)):
            yield _step(place, f"take {member} out of {name}", groups.remove_member, tx, name, member)


def _assignments(tx: Write, policy: Policy) -> Iterator[Step]:
    wanted = {(one.role, one.scope, one.identity) for one in policy.form.assignments}
    # Whoever is to hold a protected role gets it before its present holder loses it, so the last holder never goes.
    for index, form in enumerate(policy.form.assignments):
        row = assignments.find(tx, form.role, form.scope, form.identity)
        interval = Interval(form.starts, form.ends)
        if row is None or Interval(row.starts, row.ends) != interval:
            yield _step(
                f"/assignments/{index}",
                f"grant {form.role} in {form.scope} to {form.identity}",
                assignments.grant,
                tx,
                [form.role],
                project_of(form.scope),
                form.identity,
                interval=interval,
                reason=form.reason or _REASON,
            )
    for row in _present(tx, policy):
        identity = Identity.parse(row.identity)
        if not row.creator and (row.role, row.scope, identity) not in wanted:
            yield _step(
                "/assignments",
                f"revoke {row.role} in {row.scope} from {identity}",
                assignments.revoke,
                tx,
                [row.role],
                project_of(row.scope),
                identity,
                reason=_REASON,
            )


def _pruned(tx: Write, policy: Policy) -> Iterator[Step]:
    given = policy.form.model_fields_set
    if "groups" in given:
        local = select(_g.c.name).where(_g.c.provider.is_(None), _g.c.built_in.is_(False)).order_by(_g.c.name)
        for name in tx.conn.execute(local).scalars().all():
            if name not in policy.form.groups:
                yield _step("/groups", f"delete group {name}", groups.remove, tx, name)
    if "roles" in given:
        for name in tx.conn.execute(select(_r.c.name).order_by(_r.c.name)).scalars().all():
            if name not in policy.form.roles:
                yield _step("/roles", f"delete role {name}", roles.remove, tx, name)


def _present(tx: Read, policy: Policy) -> list[Any]:
    """Return the assignments in the scopes that the file governs: its projects, and the system if it assigns there."""
    scopes = set(policy.projects)
    if any(one.scope == SYSTEM for one in policy.assignments):
        scopes.add(SYSTEM)
    query = select(_a).where(_a.c.scope.in_(sorted(scopes)), _a.c.mapped.is_(False))
    query = query.order_by(_a.c.scope, _a.c.role, _a.c.identity)
    return list(tx.conn.execute(query))


def _local_members(tx: Read, name: str) -> set[Identity]:
    query = select(_m.c.member).join(_g, _m.c.group_id == _g.c.id).where(_g.c.name == name, _m.c.provider.is_(None))
    return {Identity.parse(member) for member in tx.conn.execute(query).scalars()}


def _step(place: str, what: str, act: Callable[..., Result], *args: Any, **more: Any) -> Step:
    try:
        return what, act(*args, **more)
    except Problem as problem:
        problem.faults = problem.faults or (Fault(place, f"{what}: {problem.detail}"),)
        raise
