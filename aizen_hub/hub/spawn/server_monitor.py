"""The hub's background loops: the heartbeat of live servers, and the refresh of the people who use them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from jupyterhub import orm

from aizen_hub.hub.hub_groups import ADMIN_GROUP
from aizen_hub.problems import Problem, Unavailable

if TYPE_CHECKING:
    from aizen_hub.hub.login.authenticator import AizenAuthenticator

log = logging.getLogger("aizen_hub.spawn")


AT_ONCE = 4
"""Refreshes at the same time: fewer than a provider has threads, so that people can still sign in."""

STOPS_AT_ONCE = 20
REFUSALS = 2


class ServerLife:
    """Keeps the service's list of sessions and the hub's list of servers the same.

    A session whose server is gone ends; a server whose session was ended (role lost, person locked, project deleted)
    is stopped. When the service does not answer, nothing is stopped: it refuses by itself what is not renewed.
    """

    def __init__(self, app: Any, authenticator: AizenAuthenticator) -> None:
        self._app = app
        self._authenticator = authenticator
        self._tasks: list[asyncio.Task[None]] = []
        self._refused: dict[str, int] = {}
        self._without: set[tuple[str, str]] = set()
        self._soon: set[asyncio.Task[int]] = set()
        self._beating = asyncio.Lock()
        self._stopping: dict[tuple[str, str], asyncio.Task[None]] = {}
        self._stops = asyncio.Semaphore(STOPS_AT_ONCE)

    def start(self) -> None:
        settings = self._authenticator.aizen_settings
        self._tasks = [
            asyncio.ensure_future(self._every(settings.session.heartbeat_seconds, self.beat)),
            # Three times within the age at which memberships lapse: one failure does not take rights away.
            asyncio.ensure_future(self._every(settings.group_max_age_seconds / 3, self.refresh)),
        ]

    def live(self) -> list[tuple[str, str]]:
        """Return (user, server name) of every server that runs, starts or stops, as the hub's database has it."""
        # The database, not `user.spawners`: after a restart of the hub servers live that it has not looked at yet.
        query = (
            self._app.db.query(orm.User.name, orm.Spawner.name)
            .join(orm.Spawner, orm.Spawner.user_id == orm.User.id)
            .filter(orm.Spawner.server_id.isnot(None))
        )
        return [(user, server) for user, server in query]

    async def beat(self) -> None:
        """Report live servers once, and begin to stop those that the service names: the next one waits for none."""
        async with self._beating:
            await self._beat()

    async def _beat(self) -> None:
        sessions = self._authenticator.sessions
        sessions.quiet.clear()
        try:
            live = self.live()
            # Only these may be stopped afterwards: a server that starts now has no session yet, and one that is stopped
            # and started again meanwhile is another server under the same name.
            ready = {one: spawner for one in live if (spawner := self._ready(*one)) is not None}
            answer = await self._authenticator.road.heartbeat(live, self._admins())
        finally:
            sessions.quiet.set()
        without = {(one.user, one.server) for one in answer.without}
        for user, server in sorted(without - self._without):
            log.warning("server `%s` of `%s` has no session, it began before: restart it", server, user)
        self._without = without
        for name in answer.no_admins:
            self._close_admin_page(name)
        for one in answer.ended:
            log.info("session of `%s`, server `%s`, ended: no such server", one.user, one.server)
        for one in answer.stop:
            before = ready.get((one.user, one.server))
            if before is not None and self._ready(one.user, one.server) is before:
                self._begin_to_stop(one.user, one.server)

    async def adopted(self, user_name: str) -> set[str]:
        """Return the servers of a person that began before this hub used the service, and so have no session."""
        try:
            await self.beat()
        except Problem as error:
            log.warning("beat: %s", error.detail)
        return set(self.without(user_name))

    def without(self, user_name: str) -> list[str]:
        """Return those that the last heartbeat found."""
        return sorted(server for owner, server in self._without if owner == user_name)

    async def refresh(self) -> None:
        """Ask the providers about everybody who has a live server, a few at a time.

        A kernel that renews its token never comes by the hub; without this it would keep what its owner lost in the
        directory. Whoever is refused twice in a row has their servers stopped: once may be a replica that lags behind.
        """
        names = sorted({user for user, _ in self.live()})
        self._refused = {name: times for name, times in self._refused.items() if name in names}
        turn = asyncio.Semaphore(AT_ONCE)

        async def one(name: str) -> None:
            async with turn:
                await self._refresh_one(name)

        for error in await asyncio.gather(*map(one, names), return_exceptions=True):
            if isinstance(error, BaseException):
                log.error("somebody could not be refreshed", exc_info=error)

    async def _refresh_one(self, name: str) -> None:
        orm_user = orm.User.find(self._app.db, name)
        if orm_user is None:
            return
        user = self._app.users[orm_user]
        result = await self._authenticator.refresh_user(user)
        if isinstance(result, dict):
            # As the hub does with it when a page is asked for.
            user.sync_groups(result["groups"])
            await user.save_auth_state(result["auth_state"])
        if name not in self._authenticator.turned_away:
            self._refused.pop(name, None)
            return
        self._refused[name] = self._refused.get(name, 0) + 1
        if self._refused[name] >= REFUSALS:
            await self.stop_all(name)

    async def stop(self, user_name: str, server_name: str) -> bool:
        """Stop one server; False if it does not run, or starts or stops at this moment (the next heartbeat tries)."""
        task = self._begin_to_stop(user_name, server_name)
        if task is None:
            return False
        await asyncio.shield(task)
        return True

    async def stop_all(self, user_name: str, servers: Iterable[str] | None = None) -> int:
        """Stop servers of a person, by default each that runs now; return how many there were.

        Raises
        ------
        Unavailable
            Some could not be stopped, the others were.
        """
        wanted = self._of(user_name) if servers is None else list(servers)
        outcomes = await asyncio.gather(*(self.stop(user_name, one) for one in wanted), return_exceptions=True)
        failed = sum(isinstance(one, BaseException) for one in outcomes)
        if failed:
            raise Unavailable(
                f"{failed} of {len(wanted)} servers could not be stopped", remedy="the hub's log says why"
            )
        return sum(one is True for one in outcomes)

    async def end_all(self, user_name: str, reason: str) -> None:
        """End the session of every server of a person at once, and stop the servers without anybody waiting for it."""
        for server in self._of(user_name):
            try:
                await self._authenticator.road.end_session(user_name, server, reason)
            except Problem as error:
                log.warning("the session of `%s`, server `%s`, ends with it: %s", user_name, server, error.detail)
        task = asyncio.ensure_future(self.stop_all(user_name))
        self._soon.add(task)
        task.add_done_callback(self._stopped)

    def _admins(self) -> list[str]:
        group = orm.Group.find(self._app.db, ADMIN_GROUP)
        return [] if group is None else sorted(user.name for user in group.users)

    def _close_admin_page(self, name: str) -> None:
        # Their next refresh would do it, minutes later; scopes are read from the groups at every request.
        group, orm_user = orm.Group.find(self._app.db, ADMIN_GROUP), orm.User.find(self._app.db, name)
        if group is not None and orm_user in group.users:
            group.users.remove(orm_user)
            self._app.db.commit()
            log.info("`%s` may not use the hub's admin page any more", name)

    def _begin_to_stop(self, user_name: str, server_name: str) -> asyncio.Task[None] | None:
        key = (user_name, server_name)
        if key not in self._stopping:
            spawner = self._ready(*key)
            if spawner is None:
                return None
            task = self._stopping[key] = asyncio.ensure_future(self._stop(spawner, user_name, server_name))
            task.add_done_callback(lambda task: self._ended(key, task))
        return self._stopping[key]

    async def _stop(self, spawner: Any, user_name: str, server_name: str) -> None:
        async with self._stops:
            if spawner is self._ready(user_name, server_name):  # and not another one after a long wait
                log.warning("stopping server `%s` of `%s`: its session was ended", server_name, user_name)
                await self._app.proxy.delete_user(spawner.user, server_name)
                await spawner.user.stop(server_name)

    def _ended(self, key: tuple[str, str], task: asyncio.Task[None]) -> None:
        del self._stopping[key]
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("server `%s` of `%s` could not be stopped; the next heartbeat tries", *key[::-1], exc_info=error)

    def _stopped(self, task: asyncio.Task[int]) -> None:
        self._soon.discard(task)
        if not task.cancelled():
            task.exception()  # said already, server by server

    def _of(self, user_name: str) -> list[str]:
        return [server for owner, server in self.live() if owner == user_name]

    def _ready(self, user_name: str, server_name: str) -> Any:
        orm_user = orm.User.find(self._app.db, user_name)
        spawner = None if orm_user is None else self._app.users[orm_user].spawners.get(server_name)
        return spawner if spawner is not None and spawner.ready and not spawner.pending else None

    async def _every(self, seconds: float, work: Any) -> None:
        while True:
            await asyncio.sleep(seconds)
            try:
                await work()
            except Problem as error:
                log.warning("%s: %s", work.__name__, error.detail)
            except Exception:  # whatever one round met, the next one must come: it ends what was revoked
                log.exception("%s failed; it is tried again", work.__name__)
