"""To stop a person: at the service at once, and at the hub within seconds.

The lock is what counts: no decision allows anything afterwards. The hub is told because it can end what is no command:
browser sessions, tokens and servers. It is told again every second until it has heard.

Somebody whose way to sign in has changed (password, second factor, a login taken away) is signed out there likewise,
but their servers go on (ASVS 7.4.3).
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import or_, select

from aizen_hub.accounts.sessions import locks
from aizen_hub.authorization import checks as gate
from aizen_hub.commands.result import Result
from aizen_hub.problems import Problem
from aizen_hub.rbac.assignment import LockTarget
from aizen_hub.rbac.identity import Identity, Kind
from aizen_hub.store import tables

if TYPE_CHECKING:
    from aizen_hub.service.context import House
    from aizen_hub.store.transaction import Read

log = logging.getLogger(__name__)

_SIGN_IN_CHANGES = frozenset({"password", "second-factor"})
_LOOK_BACK = timedelta(minutes=2)
"""At the start: whoever followed these changes may have ended before the hub was told."""
_BATCH = 500
_AT_A_TIME = 20
_MOST = 5_000


async def tell_hub(house: House, name: str) -> dict[str, int] | None:
    """Have the hub end what a person has there; None where the hub could not be told now (it is told again).

    Whoever asks for the same person meanwhile gets the same answer.
    """
    if not house.hub.known or house.hub_secret is None:
        return None
    task = house.revoking.get(name)
    if task is None:
        task = house.revoking[name] = asyncio.ensure_future(house.hub.revoke(name, house.hub_secret))
        task.add_done_callback(lambda _: house.revoking.pop(name, None))
    try:
        found = await asyncio.shield(task)
    except Problem as error:
        log.warning("the hub was not told", extra={"data": {"why": error.detail}})
        return None
    return found or {"tokens": 0, "servers": 0}


def said(result: Result, done: dict[str, int] | None) -> str:
    """Return what was done, as one sentence."""
    ended = result.data.get("sessions_ended", 0)
    here = f"{result.message}; {ended} sessions ended"
    if done is None:
        return f"{here}; the hub does not answer, its servers and tokens end as soon as it does"
    return f"{here}, {done['servers']} servers stopped, {done['tokens']} tokens deleted, signed out everywhere"


class Followers:
    """Follows the changes of the store, and tells the hub of everybody who has no way in any more, or another one."""

    def __init__(self, house: House) -> None:
        self._house = house
        self._seen: int | None = None
        self._waiting: OrderedDict[str, None] = OrderedDict()
        self._changed: OrderedDict[str, int] = OrderedDict()

    async def follow(self) -> None:
        """Look once: at the start at everybody who is locked, afterwards at what changed."""
        house = self._house
        if not house.hub.known or house.hub_secret is None:
            return
        seen, names, changed = await house.look(self._look)
        self._seen = seen
        for name in names:
            self._waiting[name] = None
        self._changed |= changed
        for queue in (self._waiting, self._changed):
            while len(queue) > _MOST:
                queue.popitem(last=False)
        for name in list(self._waiting)[:_AT_A_TIME]:
            if await tell_hub(house, name) is None:
                # It may be this person's server alone that does not stop: the others come first next time.
                self._waiting.move_to_end(name)
                break
            self._waiting.pop(name, None)
        for name, revision in list(self._changed.items())[:_AT_A_TIME]:
            try:
                await house.hub.revoke(name, house.hub_secret, sign_out=revision)
            except Problem as error:
                log.warning("the hub was not told", extra={"data": {"why": error.detail}})
                self._changed.move_to_end(name)
                break
            self._changed.pop(name, None)

    def _look(self, tx: Read) -> tuple[int, list[str], dict[str, int]]:
        c = tables.changes.c
        query = select(c.revision, c.touches, c.payload, c.at).order_by(c.revision)
        if self._seen is None:
            locked = select(tables.locks.c.name).where(
                tables.locks.c.target == LockTarget.IDENTITY.value,
                or_(tables.locks.c.ends.is_(None), tables.locks.c.ends > tx.now),
            )
            touched: set[str] = {f"lock:identity:{one}" for one in tx.conn.execute(locked).scalars()}
            seen = tx.revision
            recent = query.where(c.revision > tx.revision - _BATCH)
            rows = [row for row in tx.conn.execute(recent) if row.at > tx.now - _LOOK_BACK]
        else:
            rows = list(tx.conn.execute(query.where(c.revision > self._seen).limit(_BATCH)))
            seen = rows[-1].revision if rows else self._seen
            touched = {one for row in rows for one in row.touches}
        changed = {
            str(one["user"]): int(row.revision) for row in rows for one in row.payload if _signs_in_otherwise(one)
        }
        return seen, sorted(one for one in _people(tx, touched) if not _may_come_in(tx, one)), changed


def _signs_in_otherwise(change: Mapping[str, Any]) -> bool:
    return change["kind"] in _SIGN_IN_CHANGES or (change["kind"] == "login" and change["did"] == "unlink")


def _people(tx: Read, touched: Iterable[str]) -> set[str]:
    found: set[Identity] = set()
    for one in touched:
        text = one.removeprefix("lock:identity:")
        kind, _, name = text.partition(":")
        if name and (kind == Kind.USER.value or (kind == Kind.GROUP.value and text != one)):
            found.add(Identity(Kind(kind), name))
    groups = [one for one in found if one.kind is Kind.GROUP]
    return {one.name for one in found | gate.members_below(tx, groups) if one.kind is Kind.USER}


def _may_come_in(tx: Read, name: str) -> bool:
    identity: Any = Identity.user(name)
    if not tx.rights(identity).active:
        return False
    held = {identity, *gate.reached_groups(tx, identity)}
    return not any(locks.is_locked(tx, LockTarget.IDENTITY, str(one)) for one in held)
