"""Limits: the strictest of all values that apply to an identity, and the source of each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from sqlalchemy import delete, func, insert, select, update

from aizen_hub.accounts import identities
from aizen_hub.authorization import checks
from aizen_hub.commands.result import Result, message_result
from aizen_hub.problems import BadInput, Escalation, LimitReached
from aizen_hub.rbac.engine import effective_limits
from aizen_hub.rbac.identity import Identity
from aizen_hub.rbac.limit import EffectiveLimit
from aizen_hub.rbac.messages import describe_limit
from aizen_hub.rbac.role import SYSTEM, LimitKind, project_of
from aizen_hub.store import tables
from aizen_hub.store.audit_log import change_records

if TYPE_CHECKING:
    from aizen_hub.store.transaction import ReadTransaction, WriteTransaction

_l = tables.scope_limits


def limits_of(tx: ReadTransaction, identity: Identity, scope: str) -> Mapping[LimitKind, EffectiveLimit]:
    """Return the limits that bind an identity in a scope, each the strictest of its roles, groups and own settings."""
    return effective_limits(tx.rights(identity), scope, tx.now)


def limit_values(tx: ReadTransaction, identity: Identity, scope: str) -> dict[str, float]:
    """Return the values by name: memory in bytes, cpu in cores, projects and jobs as counts."""
    return {kind.value: bound.value for kind, bound in limits_of(tx, identity, scope).items()}


def require_below_limit(tx: ReadTransaction, identity: Identity, scope: str, kind: LimitKind, used: int) -> None:
    """Raise LimitReached if one more would exceed a limit on a count; the message names the source of the limit."""
    bound = limits_of(tx, identity, scope).get(kind)
    if bound is not None and used + 1 > bound.value:
        raise LimitReached(
            f"`{identity.name}` has {used} of {bound.value:g} {kind.value}; the limit comes from {bound.source}",
            remedy="end one first, or ask an administrator to raise the limit",
            extensions={"limit": kind.value, "value": bound.value, "used": used, "source": bound.source},
        )


def count_created_projects(tx: ReadTransaction, identity: Identity) -> int:
    """Return the number of existing projects that the identity created."""
    p = tables.projects
    return tx.conn.execute(select(func.count()).select_from(p).where(p.c.created_by == str(identity))).scalar_one()


def set_limit(tx: WriteTransaction, identity: Identity, scope: str, kind: str, value: float | None) -> Result:
    """Set a limit of an identity in a scope, or remove it with None.

    Raises
    ------
    BadInput
        There is no such limit, or the value is invalid.
    Denied, NotFound
        The permission is missing; there is no such identity or project.
    Escalation
        It would relax a limit that binds the actor.
    """
    checks.require(tx, checks.endpoint_permission(tx, "limits"), scope)
    if kind not in set(LimitKind):
        raise BadInput(f"there is no limit `{kind[:40]}`", remedy=f"the limits are {', '.join(LimitKind)}")
    if value is not None and not 0 <= value < 1e18:
        raise BadInput("a limit is a number that is not negative")
    identities.require_identity(tx, identity)
    if scope != SYSTEM:
        checks.require_visible_project(tx, scope)
    key = (_l.c.identity == str(identity), _l.c.scope == scope, _l.c.kind == kind)
    before = tx.conn.execute(select(_l.c.value).where(*key)).scalar()
    loosens = before is not None and (value is None or value > before)
    if loosens and not checks.is_operator(tx) and identity in checks.controlled_identities(tx, tx.actor.identity):
        raise Escalation("you may not relax a limit that applies to you", remedy="ask another administrator")
    if value is None:
        tx.conn.execute(delete(_l).where(*key))
    elif before is None:
        tx.conn.execute(insert(_l).values(identity=str(identity), scope=scope, kind=kind, value=value))
    else:
        tx.conn.execute(update(_l).where(*key).values(value=value))
    payload = {"identity": str(identity), "scope": scope, "limit": kind, "value": value, "before": before}
    parts = (str(identity), {"value": value}, kind, scope)
    change = (
        change_records.row_written(_l, *parts)
        if value is not None
        else change_records.row_deleted(_l, str(identity), kind, scope)
    )
    tx.record_change("limit", {**payload, **change_records.change_payload(change)}, [str(identity)])
    tx.audit("limit.set", project=project_of(scope), details=payload)
    label = "system-wide" if scope == SYSTEM else f"in `{scope}`"
    if value is None:
        return message_result(f"removed the {kind} limit of `{identity.name}` ({label})")
    return message_result(f"{kind} limit of `{identity.name}`: {describe_limit(value, kind)} ({label})")
