"""The service process: start, run until a signal, and stop in order."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import re
import secrets
import signal
import socket
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path

from tornado.netutil import bind_sockets

from aizen_hub.problems import Problem
from aizen_hub.secret_files import SecretFileError
from aizen_hub.service.app import create_app, create_metrics_app
from aizen_hub.service.auth.browser_login import HubLocation
from aizen_hub.service.background.scheduler import Scheduler
from aizen_hub.service.background.tasks import ScheduledTasks
from aizen_hub.service.context import ServiceContext
from aizen_hub.service.factory import build_context, panel_prefix
from aizen_hub.service.http.listener import Listener
from aizen_hub.service.hub_variables import hub_variables
from aizen_hub.service.runtime.log_config import configure_logging
from aizen_hub.service.runtime.parent_death import StartupError
from aizen_hub.service.startup_listener import StartupListener
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
    context : ServiceContext
    host, port : str, int
        Port 0 chooses a free one, for tests.
    sockets : sequence of socket, optional
        Bound to that port already.

    Raises
    ------
    StartupError
        The port, or that of the metrics, cannot be used.
    """

    def __init__(
        self, context: ServiceContext, host: str, port: int, sockets: Sequence[socket.socket] | None = None
    ) -> None:
        self.context = context
        sockets = sockets or _bind(host, port, "service.port")
        self.port: int = sockets[0].getsockname()[1]
        self._listeners = [(Listener(create_app(context), _DRAIN_SECONDS), sockets)]
        metrics = context.settings.metrics
        if metrics.port is not None:
            listener = Listener(create_metrics_app(context), _DRAIN_SECONDS)
            self._listeners.append((listener, _bind(metrics.host, metrics.port, "metrics.port")))
        self._scheduler = Scheduler(context.metrics)
        self._scheduled_tasks = ScheduledTasks(context)

    async def start(self) -> None:
        for listener, sockets in self._listeners:
            await listener.start(sockets)
        self._scheduler.start(*self._scheduled_tasks.tasks())

    async def drain(self, seconds: float, interrupted: asyncio.Event) -> None:
        """Go on answering while load balancers notice that this replica is not ready any more.

        Every response closes its connection, so that clients that keep theirs open get to another replica.

        Parameters
        ----------
        seconds : float
        interrupted : asyncio.Event
            Ends the wait.
        """
        self.context.state.draining = True
        log.info("draining", extra={"data": {"seconds": seconds}})
        with suppress(TimeoutError):
            await asyncio.wait_for(interrupted.wait(), seconds)

    async def stop(self) -> None:
        """Accept no new requests, answer the ones under way within a few seconds, and close everything."""
        self.context.state.stopping = True
        for listener, _ in self._listeners:
            await listener.stop()
        await self._scheduler.stop()
        await self.context.core.runner.close()
        for listener, _ in self._listeners:
            await listener.close()
        await self._scheduled_tasks.shut_down()
        for hub in self.context.hubs:
            await hub.api.close()
        await self.context.authenticator.close()
        await asyncio.get_running_loop().run_in_executor(None, self._close)

    def _close(self) -> None:
        self.context.operations.close()
        self.context.pools.close()
        self.context.decisions.close()
        self.context.checkpoints.close()
        if self.context.tracing is not None:
            self.context.tracing.close()
        self.context.store.close()


def _bind(host: str, port: int, key: str) -> list[socket.socket]:
    try:
        return bind_sockets(port, host)
    except OSError as error:
        raise StartupError(
            f"cannot listen on {host}:{port}: {error.strerror}; "
            f"another process may use that port: stop it, or set another `{key}` on both sides"
        ) from None


def run(path: str | Path, environ: Mapping[str, str] | None = None) -> int:
    """Run the service of one configuration file until it is told to stop; returns the exit status.

    A managed service (started by the hub, which sets ``AIZEN_INSTANCE``) ends with its parent.
    """
    environ = os.environ if environ is None else environ
    level = environ.get(LOG_LEVEL, "INFO").upper()
    try:
        if level not in logging.getLevelNamesMapping():
            raise ConfigurationError(f"`{LOG_LEVEL}` must be DEBUG, INFO, WARNING or ERROR")
        configure_logging(level)
        settings = Settings.load(path, environ)
        return asyncio.run(_run(settings, environ))
    except (ConfigurationError, StartupError, SecretFileError) as error:
        print(f"aizen-hub serve: {error}", file=sys.stderr)
        return 1
    except Problem as error:
        print(f"aizen-hub serve: {error.detail}" + (f"; {error.remedy}" if error.remedy else ""), file=sys.stderr)
        return 1


async def _start(settings: Settings, instance: str, environ: Mapping[str, str]) -> Server:
    """Open the port, build the service in a thread, and serve it there."""
    host, port = settings.service.host, settings.service.port
    sockets = _bind(host, port, "service.port")
    environ = hub_variables(settings, environ)
    startup = StartupListener(instance, panel_prefix(environ), HubLocation.from_environ(environ).address)
    await startup.start(sockets)
    # If it fails, the process ends, and what is held back stays unanswered.
    context = await asyncio.to_thread(build_context, settings, instance=instance, environ=environ)
    server = Server(context, host, port, sockets)
    # First: once the service is ready, it accepts all connections. What connects in between waits.
    await startup.stop()
    await server.start()
    return server


async def _run(settings: Settings, environ: Mapping[str, str]) -> int:
    with ExitStack() as stack:
        instance = environ.get(INSTANCE, "")
        if instance and not _INSTANCE.fullmatch(instance):
            raise StartupError(f"`{INSTANCE}` must be letters, digits, `-` and `_`")
        lock = InstanceLock.for_settings(settings)
        if lock is not None:
            stack.enter_context(lock)
        server = await _start(settings, instance or secrets.token_hex(16), environ)
        context = server.context
        # The parts of a service live until its end: scanning them in every collection frees nothing.
        gc.collect()
        gc.freeze()
        is_sealed = context.state.sealed is not None
        log.info("serving", extra={"data": {"host": settings.service.host, "port": server.port, "sealed": is_sealed}})
        stopped = asyncio.Event()
        loop = asyncio.get_running_loop()
        for signal_number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(signal_number, stopped.set)
        await stopped.wait()
        if not settings.service.managed and settings.service.drain_seconds:
            stopped.clear()  # a second signal ends the wait
            await server.drain(settings.service.drain_seconds, stopped)
        log.info("stopping")
        await server.stop()
    return 0
