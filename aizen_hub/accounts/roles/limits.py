"""Limits: the strictest value over everything that applies, and where it came from (issue 3, item 3)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from sqlalchemy import delete, func, insert, select, update

from aizen_hub.accounts.roles import assignments
from aizen_hub.authorization import checks as gate
from aizen_hub.commands.result import Result, message
from aizen_hub.problems import BadInput, Escalation, LimitReached
from aizen_hub.rbac.engine import effective_limits
from aizen_hub.rbac.identity import Identity
from aizen_hub.rbac.limit import Limited
from aizen_hub.rbac.role import SYSTEM, LimitKind, project_of
from aizen_hub.store import tables
from aizen_hub.store.audit_log import change_records as recorded

if TYPE_CHECKING:
    from aizen_hub.store.transaction import Read, Write

_l = tables.scope_limits


def of(tx: Read, identity: Identity, scope: str) -> Mapping[LimitKind, Limited]:
    """Return the limits that bind an identity in a scope, each the strictest of its roles, groups and own settings."""
    return effective_limits(tx.rights(identity), scope, tx.now)


def numbers(tx: Read, identity: Identity, scope: str) -> dict[str, float]:
    """Return the bare values by name: memory in bytes, cpu in cores, projects and jobs as counts."""
    return {kind.value: bound.value for kind, bound in of(tx, identity, scope).items()}


def need_room(tx: Read, identity: Identity, scope: str, kind: LimitKind, used: int) -> None:
    """Refuse one more of a countable thing where the limit is used up; the refusal names where the limit comes from."""
    bound = of(tx, identity, scope).get(kind)
    if bound is not None and used + 1 > bound.value:
        raise LimitReached(
            f"`{identity.name}` may have {bound.value:g} {kind.value} and has {used}: the limit is of {bound.source}",
            remedy="end one first, or ask an administrator to raise the limit",
            more={"limit": kind.value, "value": bound.value, "used": used, "source": bound.source},
        )


def projects_of_creator(tx: Read, identity: Identity) -> int:
    """Return how many existing projects the identity created."""
    p = tables.projects
    return tx.conn.execute(select(func.count()).select_from(p).where(p.c.created_by == str(identity))).scalar_one()


def put(tx: Write, identity: Identity, scope: str, kind: str, value: float | None) -> Result:
    """Set a limit on an identity in a scope, or with None take it away.

    Raises
    ------
    BadInput
        No such limit, or no number for it.
    Denied, NotFound
        The permission is missing; no such identity or project.
    Escalation
        It would loosen a limit that binds the actor.
    """
    gate.need(tx, gate.permission(tx, "limits"), scope)
    if kind not in set(LimitKind):
        raise BadInput(f"there is no limit `{kind[:40]}`", remedy=f"the limits are {', '.join(LimitKind)}")
    if value is not None and not 0 <= value < 1e18:
        raise BadInput("a limit is a number that is not negative")
    assignments.need_identity(tx, identity)
    if scope != SYSTEM:
        gate.need_project(tx, scope)
    key = (_l.c.identity == str(identity), _l.c.scope == scope, _l.c.kind == kind)
    before = tx.conn.execute(select(_l.c.value).where(*key)).scalar()
    loosens = before is not None and (value is None or value > before)
    if loosens and not gate.above_roles(tx) and identity in gate.own_identities(tx, tx.actor.identity):
        raise Escalation("you may not loosen a limit that binds you", remedy="ask another administrator")
    if value is None:
        tx.conn.execute(delete(_l).where(*key))
    elif before is None:
        tx.conn.execute(insert(_l).values(identity=str(identity), scope=scope, kind=kind, value=value))
    else:
        tx.conn.execute(update(_l).where(*key).values(value=value))
    payload = {"identity": str(identity), "scope": scope, "limit": kind, "value": value, "before": before}
    part = (str(identity), {"value": value}, kind, scope)
    mark = recorded.put(_l, *part) if value is not None else recorded.gone(_l, str(identity), kind, scope)
    tx.change("limit", {**payload, **recorded.rows(mark)}, [str(identity)])
    tx.audit("limit.set", project=project_of(scope), details=payload)
    return message(f"the limit on {kind} of `{identity.name}` is {'gone' if value is None else f'{value:g}'}")
