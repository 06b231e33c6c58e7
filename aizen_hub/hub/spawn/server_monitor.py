"""Background loops of the hub: the heartbeat of live servers, and the refresh of their owners."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from typing import Any, Protocol

from jupyterhub import orm

from aizen_hub.client.service_client import ServiceClient
from aizen_hub.hub.hub_groups import ADMIN_GROUP
from aizen_hub.hub.spawn.server_session import SessionManager
from aizen_hub.problems import Problem, Unavailable
from aizen_hub.settings import Settings

log = logging.getLogger("aizen_hub.spawn")

MAX_CONCURRENT_REFRESHES = 4
"""Fewer than a provider has threads, so that users can still sign in."""

MAX_CONCURRENT_STOPS = 20
DENIALS_BEFORE_STOP = 2


class MonitoredAuthenticator(Protocol):
    """What the monitor uses of the hub's authenticator.

    Attributes
    ----------
    denied_users : set of str
        Users whose last refresh was denied.
    """

    aizen_settings: Settings
    service: ServiceClient
    sessions: SessionManager
    denied_users: set[str]

    async def refresh_user(self, user: Any, handler: Any = None) -> dict[str, Any] | bool:
        """See `jupyterhub.auth.Authenticator.refresh_user`."""


class ServerMonitor:
    """Keeps the service's sessions and the hub's servers consistent.

    A session whose server is gone ends; a server whose session was ended (role revoked, user locked, project deleted)
    is stopped. While the service does not respond, no server is stopped: the service denies requests itself.
    """

    def __init__(self, app: Any, authenticator: MonitoredAuthenticator) -> None:
        self._app = app
        self._authenticator = authenticator
        self._tasks: list[asyncio.Task[None]] = []
        self._denials: dict[str, int] = {}
        self._without_session: set[tuple[str, str]] = set()
        self._background_stops: set[asyncio.Task[int]] = set()
        self._heartbeat_lock = asyncio.Lock()
        self._stopping: dict[tuple[str, str], asyncio.Task[None]] = {}
        self._stop_slots = asyncio.Semaphore(MAX_CONCURRENT_STOPS)

    def start(self) -> None:
        settings = self._authenticator.aizen_settings
        self._tasks = [
            asyncio.ensure_future(self._run_periodically(settings.session.heartbeat_seconds, self.send_heartbeat)),
            # Three times within the maximum age of group memberships, so that one failure does not revoke rights.
            asyncio.ensure_future(self._run_periodically(settings.group_max_age_seconds / 3, self.refresh_users)),
        ]

    def live_servers(self) -> list[tuple[str, str]]:
        """Return (user, server name) of every server that runs, starts or stops, as the hub's database has it."""
        # The database, not `user.spawners`: after a restart of the hub, servers run that are not loaded yet.
        query = (
            self._app.db.query(orm.User.name, orm.Spawner.name)
            .join(orm.Spawner, orm.Spawner.user_id == orm.User.id)
            .filter(orm.Spawner.server_id.isnot(None))
        )
        return [(user, server) for user, server in query]

    async def send_heartbeat(self) -> None:
        """Report live servers once, and start to stop those that the service names, without waiting for them."""
        async with self._heartbeat_lock:
            await self._send_heartbeat()

    async def _send_heartbeat(self) -> None:
        sessions = self._authenticator.sessions
        sessions.heartbeat_idle.clear()
        try:
            live = self.live_servers()
            # Only these may be stopped afterwards: a server that starts now has no session yet, and one restarted
            # meanwhile is another server with the same name.
            ready = {server: spawner for server in live if (spawner := self._ready_spawner(*server)) is not None}
            response = await self._authenticator.service.send_heartbeat(live, self._admin_names())
        finally:
            sessions.heartbeat_idle.set()
        without_session = {(server.user, server.server) for server in response.without_session}
        for user, server in sorted(without_session - self._without_session):
            log.warning(
                "server `%s` of `%s` has no session, because it was started before aizen-hub was set up; restart it",
                server,
                user,
            )
        self._without_session = without_session
        for name in response.former_admins:
            self._remove_admin(name)
        for ended in response.ended:
            log.info("session of `%s`, server `%s`, ended: no such server", ended.user, ended.server)
        for target in response.stop:
            spawner = ready.get((target.user, target.server))
            if spawner is not None and self._ready_spawner(target.user, target.server) is spawner:
                self._start_stop(target.user, target.server)

    async def fetch_servers_without_session(self, user_name: str) -> set[str]:
        """Send a heartbeat, and return a user's servers without a session (started before aizen-hub was set up)."""
        try:
            await self.send_heartbeat()
        except Problem as error:
            log.warning("heartbeat: %s", error.detail)
        return set(self.servers_without_session(user_name))

    def servers_without_session(self, user_name: str) -> list[str]:
        """Return a user's servers without a session, as of the last heartbeat."""
        return sorted(server for owner, server in self._without_session if owner == user_name)

    async def refresh_users(self) -> None:
        """Refresh every user with a live server at their provider, a few at a time.

        A kernel that renews its token sends no request to the hub; without this it would keep rights that its owner has
        lost in the directory. The servers of a user who is denied twice in a row are stopped; a single denial may come
        from a directory replica that is not up to date.
        """
        names = sorted({user for user, _ in self.live_servers()})
        self._denials = {name: count for name, count in self._denials.items() if name in names}
        slots = asyncio.Semaphore(MAX_CONCURRENT_REFRESHES)

        async def refresh_user(name: str) -> None:
            async with slots:
                await self._refresh_user(name)

        for error in await asyncio.gather(*map(refresh_user, names), return_exceptions=True):
            if isinstance(error, BaseException):
                log.error("a user could not be refreshed", exc_info=error)

    async def _refresh_user(self, name: str) -> None:
        orm_user = orm.User.find(self._app.db, name)
        if orm_user is None:
            return
        user = self._app.users[orm_user]
        result = await self._authenticator.refresh_user(user)
        if isinstance(result, dict):
            # As the hub does at a page request.
            user.sync_groups(result["groups"])
            await user.save_auth_state(result["auth_state"])
        if name not in self._authenticator.denied_users:
            self._denials.pop(name, None)
            return
        self._denials[name] = self._denials.get(name, 0) + 1
        if self._denials[name] >= DENIALS_BEFORE_STOP:
            await self.stop_servers(name)

    async def stop_server(self, user_name: str, server_name: str) -> bool:
        """Stop one server; False if it is not running, or is starting or stopping (the next heartbeat tries again)."""
        task = self._start_stop(user_name, server_name)
        if task is None:
            return False
        await asyncio.shield(task)
        return True

    async def stop_servers(self, user_name: str, servers: Iterable[str] | None = None) -> int:
        """Stop servers of a user, by default all that are running; return the number of stopped servers.

        Raises
        ------
        Unavailable
            At least one could not be stopped; the others were.
        """
        names = self._servers_of(user_name) if servers is None else list(servers)
        outcomes = await asyncio.gather(
            *(self.stop_server(user_name, server) for server in names), return_exceptions=True
        )
        failed = sum(isinstance(outcome, BaseException) for outcome in outcomes)
        if failed:
            raise Unavailable(f"{failed} of {len(names)} servers could not be stopped", remedy="see the log of the hub")
        return sum(outcome is True for outcome in outcomes)

    async def end_sessions(self, user_name: str, reason: str) -> None:
        """End the sessions of all servers of a user, and stop the servers in the background."""
        for server in self._servers_of(user_name):
            try:
                await self._authenticator.service.end_session(user_name, server, reason)
            except Problem as error:
                log.warning(
                    "the session of `%s`, server `%s`, will end with the server: %s", user_name, server, error.detail
                )
        task = asyncio.ensure_future(self.stop_servers(user_name))
        self._background_stops.add(task)
        task.add_done_callback(self._on_background_stop_done)

    def _admin_names(self) -> list[str]:
        group = orm.Group.find(self._app.db, ADMIN_GROUP)
        return [] if group is None else sorted(user.name for user in group.users)

    def _remove_admin(self, name: str) -> None:
        # The next refresh would do it minutes later; the hub reads scopes from the groups at every request.
        group, orm_user = orm.Group.find(self._app.db, ADMIN_GROUP), orm.User.find(self._app.db, name)
        if group is not None and orm_user in group.users:
            group.users.remove(orm_user)
            self._app.db.commit()
            log.info("removed `%s` from the users of the hub's admin page", name)

    def _start_stop(self, user_name: str, server_name: str) -> asyncio.Task[None] | None:
        key = (user_name, server_name)
        if key not in self._stopping:
            spawner = self._ready_spawner(*key)
            if spawner is None:
                return None
            task = self._stopping[key] = asyncio.ensure_future(self._stop_spawner(spawner, user_name, server_name))
            task.add_done_callback(lambda task: self._on_stop_done(key, task))
        return self._stopping[key]

    async def _stop_spawner(self, spawner: Any, user_name: str, server_name: str) -> None:
        async with self._stop_slots:
            if spawner is self._ready_spawner(user_name, server_name):  # not another one, after a long wait
                log.warning("stopping server `%s` of `%s`: its session was ended", server_name, user_name)
                await self._app.proxy.delete_user(spawner.user, server_name)
                await spawner.user.stop(server_name)

    def _on_stop_done(self, key: tuple[str, str], task: asyncio.Task[None]) -> None:
        del self._stopping[key]
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error(
                "server `%s` of `%s` could not be stopped; the next heartbeat tries again", *key[::-1], exc_info=error
            )

    def _on_background_stop_done(self, task: asyncio.Task[int]) -> None:
        self._background_stops.discard(task)
        if not task.cancelled():
            task.exception()  # already logged for each server

    def _servers_of(self, user_name: str) -> list[str]:
        return [server for owner, server in self.live_servers() if owner == user_name]

    def _ready_spawner(self, user_name: str, server_name: str) -> Any:
        orm_user = orm.User.find(self._app.db, user_name)
        spawner = None if orm_user is None else self._app.users[orm_user].spawners.get(server_name)
        return spawner if spawner is not None and spawner.ready and not spawner.pending else None

    async def _run_periodically(self, seconds: float, operation: Any) -> None:
        while True:
            await asyncio.sleep(seconds)
            try:
                await operation()
            except Problem as error:
                log.warning("%s: %s", operation.__name__, error.detail)
            except Exception:  # the next run must happen: it ends revoked sessions
                log.exception("%s failed and will run again", operation.__name__)
