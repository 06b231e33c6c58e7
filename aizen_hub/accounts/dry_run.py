"""Dry runs: a change is made, its effect on rights is compared, and the transaction is rolled back."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, TypeVar

from sqlalchemy import select

from aizen_hub.authorization import checks
from aizen_hub.commands.result import Result, table_result
from aizen_hub.problems import Conflict
from aizen_hub.rbac.assignment import LockTarget
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


T = TypeVar("T")

_SLICE_SECONDS = 0.015
"""How long rights are compiled while the write lock is held; at least as long as the change itself takes."""
_REST = 0.5  # of the time that the lock was held, left to others
_ATTEMPTS = 3
_KINDS_WITH_RIGHTS = frozenset({IdentityKind.USER.value, IdentityKind.SERVICE_ACCOUNT.value})


class _RollbackError(Exception):
    """Ends a trial of a change."""


class _OvertakenError(Exception):
    """Another change was committed between two trials."""


def dry_run(store: Store, actor: Actor, change: Callable[[WriteTransaction], Result]) -> Result:
    """Return which identities would gain or lose which rights, without changing anything.

    The change is tried in transactions that are rolled back, one for each slice of the identities that it affects, so
    that decisions and changes of others wait for about twice as long as the change takes, however many these are.

    Parameters
    ----------
    change : callable
        The change to try, any number of times; its problems are raised as in a real run.

    Returns
    -------
    Result
        A table of identity, scope, and the roles gained and lost, where these change what is effective;
        ``data["permissions"]`` has the same in permissions, ``data["answer"]`` is the message of the change, and
        ``data["steps"]`` lists the steps of a change that has several.

    Raises
    ------
    Conflict
        Others change access all the time, so that no state lasts for a dry run.
    """
    for _ in range(_ATTEMPTS):
        try:
            return _Trials(store, actor, change).compare_rights()
        except _OvertakenError:
            continue
    raise Conflict("others changed access meanwhile", remedy="try again in a moment")


def try_change(store: Store, actor: Actor, change: Callable[[WriteTransaction], object]) -> None:
    """Make a change and roll it back, to see whether it would be refused; raises the problems of a real run."""
    try:
        with store.write(actor) as tx:
            tx.dry_run = True
            change(tx)
            raise _RollbackError
    except _RollbackError:
        return


class _Trials:
    """The trials of one change at one revision of the store."""

    def __init__(self, store: Store, actor: Actor, change: Callable[[WriteTransaction], Result]) -> None:
        self._store, self._actor, self._change = store, actor, change
        self._revision: int | None = None
        self._after: dict[Identity, Rights] = {}

    def compare_rights(self) -> Result:
        """Return the effect of the change on rights; raises _OvertakenError where the revision changes."""

        def begin(tx: WriteTransaction, seconds: float) -> tuple[tuple[str, ...], datetime]:
            self._compile(tx, _named_identities(tx.invalidated), seconds)
            return tx.invalidated, tx.now

        result, (invalidated, now) = self._try(begin)
        with self._store.read() as before:
            self._require_revision(before.revision)
            # An identity that is affected through a group, role or project was so before, or the change names it.
            affected = {*_named_identities(invalidated), *_affected_identities(before, invalidated)}
        waiting = sorted(affected - self._after.keys())
        while waiting:
            self._try(lambda tx, seconds: self._compile(tx, waiting, seconds))
        with self._store.read() as before:
            self._require_revision(before.revision)
            changes = [
                change
                for identity in sorted(affected)
                for change in _compare_rights(identity, before.rights(identity), self._after[identity], now)
            ]
        return _to_result(changes, result)

    def _try(self, look: Callable[[WriteTransaction, float], T]) -> tuple[Result, T]:
        """Make the change, look at the state that it leads to, and roll it back.

        Parameters
        ----------
        look : callable
            Also receives the seconds that the change took.
        """
        began = time.monotonic()
        try:
            with self._store.write(self._actor) as tx:
                began, tx.dry_run = time.monotonic(), True
                self._require_revision(tx.state.revision)
                result = self._change(tx)
                seen = look(tx, time.monotonic() - began)
                raise _RollbackError
        except _RollbackError:
            time.sleep((time.monotonic() - began) * _REST)
            return result, seen

    def _compile(self, tx: WriteTransaction, waiting: list[Identity], seconds: float) -> None:
        """Compile the rights of the last identities of ``waiting``, and remove these."""
        end = time.monotonic() + max(_SLICE_SECONDS, seconds)
        while waiting and time.monotonic() < end:
            identity = waiting.pop()
            self._after[identity] = tx.rights(identity)

    def _require_revision(self, revision: int) -> None:
        if self._revision is not None and revision != self._revision:
            raise _OvertakenError
        self._revision = revision


@dataclass(frozen=True, slots=True)
class _RightsChange:
    """What one identity gains and loses in one scope, in roles and in permissions."""

    identity: Identity
    scope: str
    gained_roles: tuple[str, ...]
    lost_roles: tuple[str, ...]
    gained: tuple[str, ...]
    lost: tuple[str, ...]


def _compare_rights(identity: Identity, before: Rights, after: Rights, now: datetime) -> Iterator[_RightsChange]:
    if not before.active and not after.active:
        # Users who still have to activate their account get these rights too.
        before, after = replace(before, active=True), replace(after, active=True)
    return _changes_of(identity, before, after, now)


def _to_result(changes: Sequence[_RightsChange], result: Result) -> Result:
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


def _named_identities(keys: Iterable[str]) -> list[Identity]:
    return [Identity.parse(key) for key in keys if key.partition(":")[0] in _KINDS_WITH_RIGHTS]


def _affected_identities(tx: ReadTransaction, keys: Iterable[str]) -> frozenset[Identity]:
    a = tables.assignments
    roots: set[Identity] = set()
    for key in keys:
        kind, _, name = key.partition(":")
        if kind == "lock":
            kind, _, name = name.partition(":")
            if kind == LockTarget.IDENTITY:
                kind, _, name = name.partition(":")
            elif kind == LockTarget.ARCHIVE:
                kind = LockTarget.PROJECT
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
