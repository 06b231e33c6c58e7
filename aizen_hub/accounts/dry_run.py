"""Dry runs: a change is made, its effect on rights is compared, and the transaction is rolled back."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

from sqlalchemy import select

from aizen_hub.authorization import checks
from aizen_hub.commands.result import Result, table_result
from aizen_hub.rbac.default_denials import any_covers
from aizen_hub.rbac.engine import effective_permissions
from aizen_hub.rbac.identity import Identity, IdentityKind
from aizen_hub.rbac.permission import Permission
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
        A table of identity, scope, gains and losses; ``data["answer"]`` is the message of the change,
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


def _compare_rights(before: ReadTransaction, after: WriteTransaction, result: Result) -> Result:
    rows = []
    for identity in sorted(
        _affected_identities(before, after.invalidated) | _affected_identities(after, after.invalidated)
    ):
        rights_before, rights_after = before.rights(identity), after.rights(identity)
        if not rights_before.active and not rights_after.active:
            # Users who still have to activate their account get these rights too.
            rights_before, rights_after = replace(rights_before, active=True), replace(rights_after, active=True)
        scopes = {held.scope for held in (*rights_before.held_roles, *rights_after.held_roles)}
        for scope in sorted(scopes, key=lambda name: (name != SYSTEM, name)):
            permissions_before, permissions_after = (
                _permissions_in(rights_before, scope, after),
                _permissions_in(rights_after, scope, after),
            )
            gains = sorted(
                str(permission) for permission in permissions_after if not any_covers(permissions_before, permission)
            )
            losses = sorted(
                str(permission) for permission in permissions_before if not any_covers(permissions_after, permission)
            )
            if gains or losses:
                rows.append((str(identity), scope, gains, losses))
    text = f"would do: {result.message}" if rows else f"no rights would change; would do: {result.message}"
    steps = [str(row[0]) for row in result.rows] if result.columns[:1] == ("step",) else []
    return table_result(
        ("identity", "scope", "gains", "loses"), rows, text, dry_run=True, answer=result.message, steps=steps
    )


def _permissions_in(rights: Rights, scope: str, at: ReadTransaction) -> frozenset[Permission]:
    permissions = frozenset(permission for permission in effective_permissions(rights, scope, at.now))
    if scope == SYSTEM:
        return permissions
    # Permissions that system roles give in every project are listed once, for the system.
    return frozenset(
        permission
        for permission in permissions
        if not any_covers(effective_permissions(rights, SYSTEM, at.now), permission)
    )


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
