"""Revocation at the hubs: users who were locked, or whose way to sign in changed, lose what each hub gave them.

A lock takes effect at the service at once: no decision allows anything afterwards. A hub ends, within seconds, what
is not a command: browser sessions, tokens and servers. The request is repeated every second until the hub confirms it.
Each hub is asked by itself, so that none waits for another.

Users whose way to sign in has changed (password, second factor, a login removed) are signed out at the hub as well, but
their servers keep running (ASVS 7.4.3). The request carries the revision of the change, and the hub does it once: a
late or repeated request ends nothing that signed in after the change (R142).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import or_, select

from aizen_hub.authorization import checks, lock_state
from aizen_hub.problems import Problem
from aizen_hub.rbac.assignment import LockTarget
from aizen_hub.rbac.identity import Identity, IdentityKind
from aizen_hub.service.hub_revocations import HubRevocations, log_failure
from aizen_hub.service.runtime.async_store import AsyncStore
from aizen_hub.store import tables

if TYPE_CHECKING:
    from aizen_hub.service.auth.hub_connection import HubConnection
    from aizen_hub.store.transaction import ReadTransaction

_SIGN_IN_CHANGES = frozenset({"password", "second-factor"})
_LOOK_BACK = timedelta(minutes=2)
"""Read again at the start: the process that handled these changes may have ended before it reached the hub."""
_BATCH = 500
_USERS_PER_POLL = 20
_MAX_PENDING = 5_000


class RevocationWorker:
    """Follows the changes of the store and revokes at one hub.

    Parameters
    ----------
    revocations : HubRevocations
    hub : HubConnection
    store : AsyncStore
    """

    def __init__(self, revocations: HubRevocations, hub: HubConnection, store: AsyncStore) -> None:
        self._revocations, self._hub, self._store = revocations, hub, store
        self._last_revision: int | None = None
        self._pending_users: OrderedDict[str, None] = OrderedDict()
        self._sign_in_changes: OrderedDict[str, int] = OrderedDict()

    async def poll(self) -> None:
        """Process what changed since the last call; the first call processes all locked users."""
        hub = self._hub
        if not hub.api.is_configured:
            return
        revision, names, sign_in_changes = await self._store.read(self._read_changes)
        waiting = list(self._pending_users)[:_USERS_PER_POLL]
        readmitted = await self._store.read(lambda tx: [name for name in waiting if _may_sign_in(tx, name)])
        for name in readmitted:
            # Unlocked before the hub was reached: what was signed in since then stays (R142).
            self._pending_users.pop(name, None)
        for name in names:
            self._pending_users[name] = None
        self._sign_in_changes |= sign_in_changes
        # Not before all of it is queued: the second read may fail, and nothing would be read again.
        self._last_revision = revision
        for queue in (self._pending_users, self._sign_in_changes):
            while len(queue) > _MAX_PENDING:
                queue.popitem(last=False)
        for name in list(self._pending_users)[:_USERS_PER_POLL]:
            if await self._revocations.revoke_at(hub, name) is None:
                # The failure may concern this user's server only: the next poll starts with the others.
                self._pending_users.move_to_end(name)
                break
            self._pending_users.pop(name, None)
        for name, changed_at in list(self._sign_in_changes.items())[:_USERS_PER_POLL]:
            try:
                await hub.api.revoke_user(name, hub.secret, sign_out=changed_at)
            except Problem as error:
                log_failure(hub, error)
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
