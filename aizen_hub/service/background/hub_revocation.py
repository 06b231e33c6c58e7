"""Revocation at the hub: users who were locked, or whose way to sign in changed, lose what the hub gave them.

A lock takes effect at the service at once: no decision allows anything afterwards. The hub ends, within seconds, what
is not a command: browser sessions, tokens and servers. The request is repeated every second until the hub confirms it.

Users whose way to sign in has changed (password, second factor, a login removed) are signed out at the hub as well, but
their servers keep running (ASVS 7.4.3). The request carries the revision of the change, and the hub does it once: a
late or repeated request ends nothing that signed in after the change (R142).
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import or_, select

from aizen_hub.authorization import checks, lock_state
from aizen_hub.commands.result import Result
from aizen_hub.problems import Problem
from aizen_hub.rbac.assignment import LockTarget
from aizen_hub.rbac.identity import Identity, IdentityKind
from aizen_hub.store import tables

if TYPE_CHECKING:
    from aizen_hub.service.context import ServiceContext
    from aizen_hub.store.transaction import ReadTransaction

log = logging.getLogger(__name__)

_SIGN_IN_CHANGES = frozenset({"password", "second-factor"})
_LOOK_BACK = timedelta(minutes=2)
"""Read again at the start: the process that handled these changes may have ended before it reached the hub."""
_BATCH = 500
_USERS_PER_POLL = 20
_MAX_PENDING = 5_000


async def revoke_at_hub(service: ServiceContext, name: str) -> dict[str, int] | None:
    """Have the hub end everything of a user; None where the hub does not answer (`RevocationWorker` tries again).

    Concurrent calls for the same user share one request and its result.
    """
    if not service.hub_api.is_configured or service.hub_secret is None:
        return None
    task = service.hub_revocations.get(name)
    if task is None:
        task = asyncio.ensure_future(service.hub_api.revoke_user(name, service.hub_secret))
        service.hub_revocations[name] = task
        task.add_done_callback(lambda _: service.hub_revocations.pop(name, None))
    try:
        counts = await asyncio.shield(task)
    except Problem as error:
        _log_failure(error)
        return None
    return counts or {"tokens": 0, "servers": 0}


def with_hub_result(result: Result, counts: dict[str, int] | None) -> str:
    """Return one sentence about a lock's result and what the hub ended."""
    ended = result.data.get("sessions_ended", 0)
    here = f"{result.message}; {_count(ended, 'session')} ended"
    if counts is None:
        return f"{here}; the hub does not answer, servers and tokens there end as soon as it does"
    servers, tokens = _count(counts["servers"], "server"), _count(counts["tokens"], "token")
    return f"{here}, {servers} stopped, {tokens} deleted, signed out everywhere"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


class RevocationWorker:
    """Follows the changes of the store and revokes at the hub."""

    def __init__(self, service: ServiceContext) -> None:
        self._service = service
        self._last_revision: int | None = None
        self._pending_users: OrderedDict[str, None] = OrderedDict()
        self._sign_in_changes: OrderedDict[str, int] = OrderedDict()

    async def poll(self) -> None:
        """Process what changed since the last call; the first call processes all locked users."""
        service = self._service
        if not service.hub_api.is_configured or service.hub_secret is None:
            return
        revision, names, sign_in_changes = await service.async_store.read(self._read_changes)
        self._last_revision = revision
        waiting = list(self._pending_users)[:_USERS_PER_POLL]
        readmitted = await service.async_store.read(lambda tx: [name for name in waiting if _may_sign_in(tx, name)])
        for name in readmitted:
            # Unlocked before the hub was reached: what was signed in since then stays (R142).
            self._pending_users.pop(name, None)
        for name in names:
            self._pending_users[name] = None
        self._sign_in_changes |= sign_in_changes
        for queue in (self._pending_users, self._sign_in_changes):
            while len(queue) > _MAX_PENDING:
                queue.popitem(last=False)
        for name in list(self._pending_users)[:_USERS_PER_POLL]:
            if await revoke_at_hub(service, name) is None:
                # The failure may concern this user's server only: the next poll starts with the others.
                self._pending_users.move_to_end(name)
                break
            self._pending_users.pop(name, None)
        for name, changed_at in list(self._sign_in_changes.items())[:_USERS_PER_POLL]:
            try:
                await service.hub_api.revoke_user(name, service.hub_secret, sign_out=changed_at)
            except Problem as error:
                _log_failure(error)
                self._sign_in_changes.move_to_end(name)
                break
            self._sign_in_changes.pop(name, None)

    def _read_changes(self, tx: ReadTransaction) -> tuple[int, list[str], dict[str, int]]:
        c = tables.changes.c
        query = select(c.revision, c.invalidates, c.payload, c.at).order_by(c.revision)
        if self._last_revision is None:
            locked = select(tables.locks.c.name).where(
                tables.locks.c.target == LockTarget.IDENTITY.value,
                or_(tables.locks.c.ends.is_(None), tables.locks.c.ends > tx.now),
            )
            keys: set[str] = {f"lock:identity:{name}" for name in tx.conn.execute(locked).scalars()}
            revision = tx.revision
            recent = query.where(c.revision > tx.revision - _BATCH)
            rows = [row for row in tx.conn.execute(recent) if row.at > tx.now - _LOOK_BACK]
        else:
            rows = list(tx.conn.execute(query.where(c.revision > self._last_revision).limit(_BATCH)))
            revision = rows[-1].revision if rows else self._last_revision
            keys = {key for row in rows for key in row.invalidates}
        sign_in_changes = {
            str(change["user"]): int(row.revision)
            for row in rows
            for change in row.payload
            if _is_sign_in_change(change)
        }
        names = sorted(name for name in _affected_users(tx, keys) if not _may_sign_in(tx, name))
        return revision, names, sign_in_changes


def _log_failure(error: Problem) -> None:
    log.warning("revocation at the hub failed", extra={"data": {"why": error.detail}})


def _is_sign_in_change(change: Mapping[str, Any]) -> bool:
    return change["kind"] in _SIGN_IN_CHANGES or (change["kind"] == "login" and change["did"] == "unlink")


def _affected_users(tx: ReadTransaction, keys: Iterable[str]) -> set[str]:
    identities: set[Identity] = set()
    for key in keys:
        text = key.removeprefix("lock:identity:")
        kind, _, name = text.partition(":")
        if name and (kind == IdentityKind.USER.value or (kind == IdentityKind.GROUP.value and text != key)):
            identities.add(Identity(IdentityKind(kind), name))
    groups = [identity for identity in identities if identity.kind is IdentityKind.GROUP]
    affected = identities | checks.transitive_members(tx, groups)
    return {identity.name for identity in affected if identity.kind is IdentityKind.USER}


def _may_sign_in(tx: ReadTransaction, name: str) -> bool:
    identity: Any = Identity.user(name)
    if not tx.rights(identity).active:
        return False
    identities = {identity, *checks.transitive_groups(tx, identity)}
    return not any(lock_state.is_locked(tx, LockTarget.IDENTITY, str(identity)) for identity in identities)
