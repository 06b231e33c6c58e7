"""A dry run: the change is made, compared person by person, and taken back."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

from sqlalchemy import select

from aizen_hub.authorization import checks as gate
from aizen_hub.commands.result import Result, table
from aizen_hub.rbac.default_denials import covers
from aizen_hub.rbac.engine import effective
from aizen_hub.rbac.identity import Identity, Kind
from aizen_hub.rbac.permission import Permission
from aizen_hub.rbac.rights import Rights
from aizen_hub.rbac.role import SYSTEM
from aizen_hub.store import tables
from aizen_hub.store.actor import Actor

if TYPE_CHECKING:
    from aizen_hub.store.store import Store
    from aizen_hub.store.transaction import Read, Write


class _TakenBack(Exception):
    def __init__(self, result: Result) -> None:
        super().__init__("dry run")
        self.result = result


def preview(store: Store, actor: Actor, change: Callable[[Write], Result]) -> Result:
    """Return who would gain and who would lose which rights, and change nothing.

    Parameters
    ----------
    change : callable
        What would be done; its problems are raised as they would be.

    Returns
    -------
    Result
        A table of identity, scope, gains and losses; ``data["answer"]`` is the message that the change would give,
        ``data["steps"]`` the steps of one that has several.
    """
    try:
        with store.write(actor) as tx:
            tx.trying = True
            answer = change(tx)
            # The writer holds the lock, so what another connection sees is exactly the state before this change.
            with store.read() as before:
                raise _TakenBack(_compared(before, tx, answer))
    except _TakenBack as taken:
        return taken.result


def _compared(before: Read, after: Write, answer: Result) -> Result:
    rows = []
    for identity in sorted(_concerned(before, after.touched) | _concerned(after, after.touched)):
        then, now = before.rights(identity), after.rights(identity)
        if not then.active and not now.active:
            # Somebody who must first activate the account gets these rights all the same.
            then, now = replace(then, active=True), replace(now, active=True)
        scopes = {held.scope for held in (*then.held, *now.held)}
        for scope in sorted(scopes, key=lambda one: (one != SYSTEM, one)):
            had, has = _given(then, scope, after), _given(now, scope, after)
            gains = sorted(str(one) for one in has if not covers(had, one))
            losses = sorted(str(one) for one in had if not covers(has, one))
            if gains or losses:
                rows.append((str(identity), scope, gains, losses))
    text = f"would do: {answer.message}" if rows else f"no rights would change; would do: {answer.message}"
    steps = [str(row[0]) for row in answer.rows] if answer.columns[:1] == ("step",) else []
    return table(("identity", "scope", "gains", "loses"), rows, text, dry_run=True, answer=answer.message, steps=steps)


def _given(rights: Rights, scope: str, at: Read) -> frozenset[Permission]:
    own = frozenset(one for one in effective(rights, scope, at.now))
    if scope == SYSTEM:
        return own
    # What the system gives everywhere is listed once, at the system.
    return frozenset(one for one in own if not covers(effective(rights, SYSTEM, at.now), one))


def _concerned(tx: Read, touched: Iterable[str]) -> frozenset[Identity]:
    a = tables.assignments
    roots: set[Identity] = set()
    for touch in touched:
        kind, _, name = touch.partition(":")
        if kind == "lock":
            kind, _, name = name.partition(":")
            kind, _, name = name.partition(":") if kind == "identity" else (kind, "", name)
        if kind in set(Kind):
            roots.add(Identity(Kind(kind), name))
        elif kind in ("role", "project", "*"):
            column = a.c.role if kind == "role" else a.c.scope
            query = select(a.c.identity).distinct()
            query = query if kind == "*" else query.where(column == name)
            roots |= {Identity.parse(row.identity) for row in tx.conn.execute(query)}
    return frozenset(one for one in gate.members_below(tx, roots) if one.kind is not Kind.GROUP)
