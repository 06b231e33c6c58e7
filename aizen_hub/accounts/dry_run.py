"""Dry runs: a change is made, its effect on rights is compared, and the transaction is rolled back."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING

from sqlalchemy import select

from aizen_hub.authorization import checks
from aizen_hub.commands.result import Result, table_result
from aizen_hub.rbac.default_denials import any_covers, delegated_roles
from aizen_hub.rbac.engine import effective_permissions, held_in
from aizen_hub.rbac.identity import Identity, IdentityKind
from aizen_hub.rbac.rights import Rights
from aizen_hub.rbac.role import SYSTEM
from aizen_hub.store import tables
from aizen_hub.store.actor import Actor

if TYPE_CHECKING:
    from aizen_hub.store.sql_store import Store
    from aizen_hub.store.transaction import ReadTransaction, WriteTransaction


class _Rollback(Exception):
    def __init__(self, result: Result) -> None:
        super().__init__("dry run")
        self.result = result


def dry_run(store: Store, actor: Actor, change: Callable[[WriteTransaction], Result]) -> Result:
    """Return which identities would gain or lose which rights, without changing anything.

    Parameters
    ----------
    change : callable
        The change to try; its problems are raised as in a real run.

    Returns
    -------
    Result
        A table of identity, scope, and the roles gained and lost, where these change what is effective;
        ``data["permissions"]`` has the same in permissions, ``data["answer"]`` is the message of the change, and
        ``data["steps"]`` lists the steps of a change that has several.
    """
    try:
        with store.write(actor) as tx:
            tx.dry_run = True
            result = change(tx)
            # The writer holds the lock, so another connection sees exactly the state before this change.
            with store.read() as before:
                raise _Rollback(_compare_rights(before, tx, result))
    except _Rollback as taken:
        return taken.result


@dataclass(frozen=True, slots=True)
class _RightsChange:
    """What one identity gains and loses in one scope, in roles and in permissions."""

    identity: Identity
    scope: str
    gained_roles: tuple[str, ...]
    lost_roles: tuple[str, ...]
    gained: tuple[str, ...]
    lost: tuple[str, ...]


def _compare_rights(before: ReadTransaction, after: WriteTransaction, result: Result) -> Result:
    changes: list[_RightsChange] = []
    for identity in sorted(
        _affected_identities(before, after.invalidated) | _affected_identities(after, after.invalidated)
    ):
        rights_before, rights_after = before.rights(identity), after.rights(identity)
        if not rights_before.active and not rights_after.active:
            # Users who still have to activate their account get these rights too.
            rights_before, rights_after = replace(rights_before, active=True), replace(rights_after, active=True)
        changes += _changes_of(identity, rights_before, rights_after, after.now)
    rows = [
        (str(change.identity), change.scope, list(change.gained_roles), list(change.lost_roles)) for change in changes
    ]
    rights = [
        {
            "identity": str(change.identity),
            "scope": change.scope,
            "gains": list(change.gained),
            "loses": list(change.lost),
        }
        for change in changes
    ]
    text = f"would do: {result.message}" if rows else f"no rights would change; would do: {result.message}"
    steps = [str(row[0]) for row in result.rows] if result.columns[:1] == ("step",) else []
    return table_result(
        ("identity", "scope", "gains", "loses"),
        rows,
        text,
        dry_run=True,
        answer=result.message,
        steps=steps,
        permissions=rights,
    )


def _changes_of(identity: Identity, before: Rights, after: Rights, now: datetime) -> Iterator[_RightsChange]:
    """Yield the scopes in which the effective rights differ.

    What the roles of one scope give is compared with everything that is effective there: a right that a role of the
    system gives in every project is not lost with a role of one project.
    """
    scopes = {held.scope for held in (*before.held_roles, *after.held_roles)}
    for scope in sorted(scopes, key=lambda name: (name != SYSTEM, name)):
        gained = _added(before, after, scope, now)
        lost = _added(after, before, scope, now)
        if gained or lost:
            held = _names_in(before, scope, now) & _names_in(after, scope, now)
            changed = {name for name in held if before.roles[name] != after.roles[name]}
            yield _RightsChange(
                identity,
                scope,
                *(
                    tuple(f"{role} (changed)" if role in changed else role for role in sorted(roles))
                    for roles in (gained, lost)
                ),
                *(tuple(sorted({right for rights in roles.values() for right in rights})) for roles in (gained, lost)),
            )


def _added(before: Rights, after: Rights, scope: str, now: datetime) -> dict[str, frozenset[str]]:
    """Return what the roles of ``scope`` give ``after`` that nothing gave there ``before``, by role."""
    present, present_roles = effective_permissions(before, scope, now), held_in(before, scope, now)
    delegated = frozenset[str]().union(*(delegated_roles(before.roles[name]) for name, _ in present_roles))
    effective = effective_permissions(after, scope, now)
    added: dict[str, frozenset[str]] = {}
    for held in after.held_roles:
        if held.scope != scope or not held.is_effective(now) or not effective:
            continue
        permissions = after.permissions_of(held)
        rights = {str(permission) for permission in permissions if not any_covers(present, permission)}
        rights |= {f"grant or revoke {name}" for name in delegated_roles(after.roles[held.role]) - delegated}
        if rights:
            added[held.role] = added.get(held.role, frozenset()) | rights
    return added


def _names_in(rights: Rights, scope: str, now: datetime) -> set[str]:
    return {held.role for held in rights.held_roles if held.scope == scope and held.is_effective(now)}


def _affected_identities(tx: ReadTransaction, keys: Iterable[str]) -> frozenset[Identity]:
    a = tables.assignments
    roots: set[Identity] = set()
    for key in keys:
        kind, _, name = key.partition(":")
        if kind == "lock":
            kind, _, name = name.partition(":")
            kind, _, name = name.partition(":") if kind == "identity" else (kind, "", name)
        if kind in set(IdentityKind):
            roots.add(Identity(IdentityKind(kind), name))
        elif kind in ("role", "project", "*"):
            column = a.c.role if kind == "role" else a.c.scope
            query = select(a.c.identity).distinct()
            query = query if kind == "*" else query.where(column == name)
            roots |= {Identity.parse(row.identity) for row in tx.conn.execute(query)}
    return frozenset(
        identity for identity in checks.transitive_members(tx, roots) if identity.kind is not IdentityKind.GROUP
    )
