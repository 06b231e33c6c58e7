"""Sign-outs of users whose way to sign in has changed: each change once, and nothing that signed in after it (R142).

The service gives every such change its revision. It tells the hub twice: as a request of its own, which may arrive late
or again, and in the response to the user's next login. The hub ends the earlier sign-ins at whichever comes first. So a
login that was admitted is never ended by a change that the service knew of when it admitted it.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from typing import Any
from weakref import WeakValueDictionary

from jupyterhub import orm
from jupyterhub.utils import url_escape_path, url_path_join

from aizen_hub.api_models.revocation import RevocationResponse
from aizen_hub.hub.login.auth_state import SavedLogin
from aizen_hub.hub.spawn.revocation_handler import sign_out
from aizen_hub.hub.spawn.server_monitor import ServerMonitor
from aizen_hub.problems import Problem

log = logging.getLogger("aizen_hub.login")


class SignOutProcessor:
    """Ends browser sessions and tokens of users; servers keep running, with their own tokens.

    Parameters
    ----------
    app : JupyterHub
    monitor : ServerMonitor
    """

    def __init__(self, app: Any, monitor: ServerMonitor) -> None:
        self._app = app
        self._monitor = monitor
        self._revisions: dict[str, int] = {}
        self._unstopped: dict[str, list[str]] = {}
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    def lock(self, name: str) -> asyncio.Lock:
        """Return the lock of a user: two requests at once would delete rows that the other one uses."""
        return self._locks.setdefault(name, asyncio.Lock())

    def last_revision(self, name: str, saved: SavedLogin | None) -> int | None:
        """Return the revision of the last change whose sign-out was done, also before a restart of the hub."""
        revisions = [self._revisions.get(name), None if saved is None else saved.sign_out_revision]
        return max((revision for revision in revisions if revision is not None), default=None)

    async def process_at_login(self, name: str, revision: int | None) -> None:
        """End what signed in before a change, while the user signs in again; that login takes effect afterwards."""
        if revision is None:
            return
        try:
            async with self.lock(name):
                # Only now: a deletion may have held the lock.
                orm_user = orm.User.find(self._app.db, name)
                if orm_user is not None:
                    await self.process(orm_user, revision)
        except Problem as error:
            # The tokens are gone; the request of the service, which follows, tries to stop the servers again.
            log.warning("sign-out of `%s`: %s", name, error.detail)

    async def process(self, orm_user: orm.User, revision: int) -> RevocationResponse:
        """End what signed in before the change of a revision; do nothing if that was done. Needs `lock`.

        Raises
        ------
        Unavailable
            A server that has to stop could not be stopped; everything else was done.
        """
        name, user = orm_user.name, self._app.users[orm_user]
        saved = await SavedLogin.load(user)
        last = self.last_revision(name, saved)
        if last is not None and last >= revision:
            return RevocationResponse(servers=await self._stop(name, self._unstopped.pop(name, [])))
        kept_tokens, untraceable = await self._server_tokens(orm_user)
        tokens = sign_out(self._app, orm_user, all_tokens=True, keep=frozenset(kept_tokens))
        self._revisions[name] = revision
        # Again: a login or a refresh may have saved another state in the meantime.
        saved = await SavedLogin.load(user)
        if saved is not None and (saved.sign_out_revision is None or saved.sign_out_revision < revision):
            await user.save_auth_state(replace(saved, sign_out_revision=revision).to_auth_state())
        log.warning("signed out `%s`: %d tokens, %d servers", name, tokens, len(untraceable))
        return RevocationResponse(tokens=tokens, servers=await self._stop(name, untraceable))

    async def _server_tokens(self, orm_user: orm.User) -> tuple[set[int], list[str]]:
        """Return the ids of the tokens that servers use, and the servers whose token is unknown."""
        name, user = orm_user.name, self._app.users[orm_user]
        kept_tokens: set[int] = set()
        untraceable: list[str] = []
        for server in [server for owner, server in self._monitor.live_servers() if owner == name]:
            spawner = user.spawners.get(server)
            token = orm.APIToken.find(self._app.db, spawner.api_token) if spawner and spawner.api_token else None
            if token is None:
                # After a restart of the hub the server's token cannot be identified: it is deleted with the others.
                untraceable.append(server)
            else:
                kept_tokens.add(token.id)
        # A server without a session has no rights, so it keeps running and no work is lost.
        without_session = await self._monitor.fetch_servers_without_session(name) if untraceable else set()
        for server in without_session.intersection(untraceable):
            untraceable.remove(server)
            note = f"Server at {url_path_join(user.base_url, url_escape_path(server), '/')}"
            kept_tokens |= {token.id for token in orm_user.api_tokens if token.note == note}
        return kept_tokens, untraceable

    async def _stop(self, name: str, servers: list[str]) -> int:
        if not servers:
            return 0
        try:
            return await self._monitor.stop_servers(name, servers)
        except Problem:
            self._unstopped[name] = servers
            raise
