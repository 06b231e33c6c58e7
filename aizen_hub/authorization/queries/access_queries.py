"""Questions about access, answered by the code that decides: may I, who can, why, what if, who could give (R80)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from aizen_hub.authorization import checks as gate
from aizen_hub.authorization.queries.permission_holders import Able, able
from aizen_hub.commands.result import Result, plain, table
from aizen_hub.problems import BadInput
from aizen_hub.rbac.assignment import ALWAYS, Assignment, Interval, Lock
from aizen_hub.rbac.decision import Decision, Request
from aizen_hub.rbac.engine import Explanation, decide, explain
from aizen_hub.rbac.escalation import giving_roles
from aizen_hub.rbac.group_closure import Chain
from aizen_hub.rbac.identity import Identity, Kind
from aizen_hub.rbac.permission import Permission
from aizen_hub.rbac.rights import Rights, compile_rights
from aizen_hub.rbac.role import SYSTEM, project_of
from aizen_hub.store import tables

if TYPE_CHECKING:
    from aizen_hub.store.actor import Actor
    from aizen_hub.store.transaction import Read, Write

MOST = 1_000
_MOST_ASKED = 50
"""Members of one group that are looked at for somebody who could give a role."""
_a = tables.assignments


@dataclass(frozen=True, slots=True)
class Supposed:
    """A state that is not: assignments and group memberships added, and another date."""

    assignments: tuple[tuple[str, str, Identity], ...] = ()
    groups: tuple[str, ...] = ()
    at: datetime | None = None


def can_i(tx: Write, permission: str, scope: str, whom: Identity | None = None) -> Decision:
    """Decide one permission for the asker, or for somebody else to those who may read access in that scope.

    Raises
    ------
    NotFound
        The project does not exist for the asker (R72).
    Denied
        Somebody else, without the permission to read access.
    BadInput
        Not a permission.
    """
    target = _may_ask(tx, scope, whom)
    return decide(tx.rights(target), Request(_parsed(permission), scope, exists=True), tx.now)


def why(tx: Write, permission: str, scope: str, whom: Identity | None = None) -> Result:
    """Explain a decision: the winning path, every other and why it failed, the least role, and who could give it."""
    target = _may_ask(tx, scope, whom)
    asked = _parsed(permission)
    answer = explain(tx.rights(target), Request(asked, scope), tx.now)
    return Result("object", answer.decision.sentence, data=_explained(tx, answer, asked, scope, target))


def who_can(tx: Read, actor: Actor, permission: str, scope: str) -> Result:
    """List the users and service accounts that hold a permission in a scope now, and through which role.

    Changes nothing, so that nobody has to wait for it; the caller records that it was asked. Where there are more than
    are told, ``data["more"]`` is true.
    """
    gate.need_of(tx, actor, gate.permission(tx, "access"), scope)
    if scope != SYSTEM and not gate.is_project(tx, scope):
        raise gate.no_project(scope)  # else whoever holds a role in the system would be told as its people (R72)
    asked = _parsed(permission)
    found: list[Able] = []
    more = False
    for kind in (Kind.SERVICE_ACCOUNT, Kind.USER):
        page = able(tx, asked, scope, kind, limit=MOST - len(found))
        found += page.found
        more = more or page.after is not None
    rows = [(str(one.identity), one.role, [str(group) for group in one.via], one.sentence) for one in found]
    text = f"these are the first {len(rows)} of more" if more else "" if rows else "nobody"
    return table(("identity", "role", "through", "reason"), rows, text, more=more)


def what_if(tx: Write, permission: str, scope: str, whom: Identity, supposed: Supposed) -> Result:
    """Decide in a state that is not: with further assignments or groups, or at another date."""
    _may_ask(tx, scope, whom, about_others=True)
    asked = _parsed(permission)
    now = supposed.at or tx.now
    before = decide(tx.rights(whom), Request(asked, scope), now)
    answer = explain(_imagined(tx, whom, supposed), Request(asked, scope), now)
    data = _explained(tx, answer, asked, scope, whom)
    return Result(
        "object", answer.decision.sentence, data={**data, "allowed_as_it_is": before.allowed, "at": plain(now)}
    )


def projects_of(tx: Write, whom: Identity | None = None) -> Result:
    """List the projects and roles of the asker, or of somebody else as far as the asker may read access."""
    target = whom or tx.actor.identity
    rights = tx.rights(target)
    scopes = sorted({held.scope for held in rights.held if held.gives(tx.now)} - {SYSTEM})
    if target != tx.actor.identity:
        gate.in_person(tx)
        reads = gate.permission(tx, "access")
        scopes = [scope for scope in scopes if gate.allowed(tx, reads, scope)]
        tx.audit("access.read", details={"question": "projects-of", "target": str(target)})
    rows = [
        (scope, sorted({held.role for held in rights.held if held.scope == scope and held.gives(tx.now)}))
        for scope in scopes
    ]
    return table(("project", "roles"), rows)


def who_can_give(tx: Read, role: str, scope: str, at_most: int = 5) -> tuple[str, ...]:
    """Return names of users who could give a role in a scope to somebody else now; people of the scope first."""
    wanted = tx.roles.get(role)
    if wanted is None:
        return ()
    able = giving_roles(wanted, scope, tx.roles, tx.catalog.member_permissions, tx.now)
    rows = tx.conn.execute(
        select(_a.c.identity, _a.c.scope)
        .where(_a.c.role.in_(able), _a.c.scope.in_({scope, SYSTEM}))
        .order_by(_a.c.scope == SYSTEM, _a.c.identity)
        .limit(50)
    )
    found: dict[str, None] = {}
    for row in rows:
        for identity in sorted(gate.members_below(tx, [Identity.parse(row.identity)]))[:_MOST_ASKED]:
            if len(found) >= at_most:
                break
            rights = tx.rights(identity)
            holds = any(
                held.role in able and held.scope in (scope, SYSTEM) and held.gives(tx.now) for held in rights.held
            )
            if identity.kind is Kind.USER and rights.active and holds and rights.lock_on(scope, None, tx.now) is None:
                found[identity.name] = None
        if len(found) >= at_most:
            break
    return tuple(found)[:at_most]


def _may_ask(tx: Write, scope: str, whom: Identity | None, *, about_others: bool = False) -> Identity:
    if scope != SYSTEM:
        gate.need_project(tx, scope)
    if about_others or (whom is not None and whom != tx.actor.identity):
        gate.need(tx, gate.permission(tx, "access"), scope)
        if whom is not None:
            tx.audit("access.read", project=project_of(scope), details={"question": "can", "target": str(whom)})
    return whom or tx.actor.identity


def _explained(tx: Write, answer: Explanation, asked: Permission, scope: str, target: Identity) -> dict[str, Any]:
    others = answer.others
    if target != tx.actor.identity and not gate.above_roles(tx):
        # Paths in other scopes are shown to those who may read access there.
        reads = gate.permission(tx, "access")
        seen = {one.held.scope: gate.allowed(tx, reads, one.held.scope) for one in others}
        others = tuple(one for one in others if seen[one.held.scope])
    return {
        "identity": str(target),
        "permission": str(asked),
        "scope": scope,
        "allowed": answer.decision.allowed,
        "reason": answer.decision.reason.value,
        "sentence": answer.decision.sentence,
        "winning": answer.winning.sentence if answer.winning else None,
        "others": [one.sentence for one in others],
        "least_role": answer.least_role,
        "who_can_grant": [one for one in who_can_give(tx, answer.least_role or "", scope) if one != target.name],
    }


def _imagined(tx: Read, whom: Identity, supposed: Supposed) -> Rights:
    present = tx.rights(whom)
    groups = tuple(Identity.group(name) for name in supposed.groups)
    chains = {held.via: Chain(held.via) for held in present.held if held.via}
    added: dict[tuple[Identity, ...], Chain] = {}
    for group in groups:
        added[(group,)] = Chain((group,))
        for above in gate.reached_groups(tx, group):
            added[(group, above)] = Chain((group, above))
    held = [
        Assignment(one.assignment, one.role, one.scope, one.via[-1] if one.via else whom, one.interval, one.creator)
        for one in present.held
    ]
    reached = {chain.groups[-1] for chain in added.values()}
    stored = tx.conn.execute(select(_a).where(_a.c.identity.in_([str(one) for one in reached])))
    rows = [
        Assignment(str(row.id), row.role, row.scope, Identity.parse(row.identity), Interval(row.starts, row.ends))
        for row in stored
    ]
    known = {one.id for one in held}
    imagined = [
        Assignment(f"supposed-{index}", role, scope, identity, ALWAYS)
        for index, (role, scope, identity) in enumerate(supposed.assignments)
    ]
    for one in imagined:
        if one.role not in tx.roles:
            raise BadInput(f"there is no role `{one.role[:80]}`")
    return compile_rights(
        whom,
        active=present.active,
        paths=[*chains.values(), *added.values()],
        assignments=[*held, *(row for row in rows if row.id not in known), *imagined],
        roles=tx.roles,
        locks=_flat(present.locks.values()),
        member_permissions=tx.catalog.member_permissions,
        revision=present.revision,
    )


def _flat(groups: Iterable[tuple[Lock, ...]]) -> list[Lock]:
    return [lock for locks in groups for lock in locks]


def _parsed(permission: str) -> Permission:
    try:
        return Permission.parse(permission)
    except ValueError as error:
        raise BadInput(str(error)) from None
