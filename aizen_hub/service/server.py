"""Start, run and end of the service process."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import re
import secrets
import signal
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

from tornado.netutil import bind_sockets

from aizen_hub.problems import Problem
from aizen_hub.service import log_config as logs
from aizen_hub.service.app import make_app
from aizen_hub.service.background.scheduler import Background
from aizen_hub.service.background.tasks import Chores
from aizen_hub.service.context import House
from aizen_hub.service.factory import build
from aizen_hub.service.http.listener import Listener
from aizen_hub.service.parent_death import StartRefused
from aizen_hub.settings import ConfigurationError, Settings
from aizen_hub.store.instance_lock import InstanceLock

log = logging.getLogger(__name__)

INSTANCE = "AIZEN_INSTANCE"
LOG_LEVEL = "AIZEN_LOG_LEVEL"
_INSTANCE = re.compile(r"[A-Za-z0-9_-]{1,128}")
_DRAIN_SECONDS = 5.0


class Server:
    """One running service.

    Parameters
    ----------
    house : House
    host, port : str, int
        Port 0 takes a free one, for tests.
    """

    def __init__(self, house: House, host: str, port: int) -> None:
        self.house = house
        self._sockets = bind_sockets(port, host)
        self.port: int = self._sockets[0].getsockname()[1]
        self._http = Listener(make_app(house).serve)
        self._background = Background(house.metrics)
        self._chores = Chores(house)

    async def start(self) -> None:
        await self._http.start(self._sockets)
        self._background.start(*self._chores.tasks())

    async def stop(self) -> None:
        """Take nothing new, answer what is here within a few seconds, and close everything."""
        self.house.ending = True
        self._http.stop()
        await self._background.stop()
        await self.house.runner.close()
        await self._http.close(_DRAIN_SECONDS)
        await self._chores.last()
        await asyncio.get_running_loop().run_in_executor(None, self._close)

    def _close(self) -> None:
        self.house.pools.close()
        self.house.hub.close()
        self.house.court.close()
        self.house.store.close()


def run(path: str | Path, environ: Mapping[str, str] | None = None) -> int:
    """Run the service of one configuration file until it is told to end; returns the exit status.

    A managed service (started by the hub, which sets ``AIZEN_INSTANCE``) ends with its parent.
    """
    environ = os.environ if environ is None else environ
    level = environ.get(LOG_LEVEL, "INFO").upper()
    try:
        if level not in logging.getLevelNamesMapping():
            raise ConfigurationError(f"`{LOG_LEVEL}` must be DEBUG, INFO, WARNING or ERROR")
        logs.configure(level)
        settings = Settings.load(path, environ)
        return asyncio.run(_run(settings, environ))
    except (ConfigurationError, StartRefused) as error:
        print(f"aizen-hub serve: {error}", file=sys.stderr)
        return 1
    except Problem as error:
        print(f"aizen-hub serve: {error.detail}" + (f"; {error.remedy}" if error.remedy else ""), file=sys.stderr)
        return 1


async def _run(settings: Settings, environ: Mapping[str, str]) -> int:
    with ExitStack() as stack:
        given = environ.get(INSTANCE, "")
        if given and not _INSTANCE.fullmatch(given):
            raise StartRefused(f"`{INSTANCE}` must be letters, digits, `-` and `_`")
        lock = InstanceLock.beside(settings)
        if lock is not None:
            stack.enter_context(lock)
        # Everything that may take long or fail is done before the port opens: who connects finds a whole service.
        house = build(settings, instance=given or secrets.token_hex(16), environ=environ)
        try:
            server = Server(house, settings.service.host, settings.service.port)
        except OSError as error:
            raise StartRefused(
                f"cannot listen on {settings.service.host}:{settings.service.port}: {error.strerror}; "
                "another process may use that port: stop it, or set another `service.port` on both sides"
            ) from None
        await server.start()
        # What a service consists of stays to its end: looking through it again and again finds nothing.
        gc.collect()
        gc.freeze()
        log.info(
            "serving",
            extra={"data": {"host": settings.service.host, "port": server.port, "sealed": house.sealed is not None}},
        )
        ended = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, ended.set)
        await ended.wait()
        log.info("ending")
        await server.stop()
    return 0
