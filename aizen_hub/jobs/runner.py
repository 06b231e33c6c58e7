"""Runner of allowed commands at the core: records their intent and outcome, and re-authorizes them while they run."""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from aizen_hub.authorization.decisions.evaluation import FRESH_SECONDS, boottime
from aizen_hub.jobs.core_client import CoreClient
from aizen_hub.jobs.core_command import CoreCommand
from aizen_hub.jobs.core_event import CommandState, CoreEvent
from aizen_hub.jobs.follower import follow_command, stop_command
from aizen_hub.jobs.ports import Authorizer, CommandLogProtocol
from aizen_hub.jobs.reauthorizer import Reauthorizer
from aizen_hub.jobs.running_command import RunningCommand, unknown_end
from aizen_hub.problems import CoreFailed, Denied, Problem, TooManyRequests, Unavailable

log = logging.getLogger(__name__)

_DECISION_TIMEOUT_SECONDS = 5.0
_MAX_DECISIONS = 3
_RECORD_PAUSES = (0.0, 0.2, 1.0, 3.0)
_MAX_RUNNING = 1_024
_MAX_PER_USER = 64
_EXTRA_FOR_STOP = 16
_MAX_ENDED = 256
_CLOSE_SECONDS = 3.0


class Runner:
    """Runs commands at the core.

    Parameters
    ----------
    client : CoreClient or None
        None: no core is configured, and every command fails with CoreFailed.
    command_log : CommandLogProtocol
    authorizer : Authorizer
        Called every second for all running commands. A command is cancelled when its user loses the right or is locked
        (R78, T-08), or when it could not be decided for ten seconds.
    total_seconds : float
        Maximum time for which one command is followed.
    """

    def __init__(
        self,
        client: CoreClient | None,
        command_log: CommandLogProtocol,
        authorizer: Authorizer,
        *,
        total_seconds: float = 3_600.0,
    ) -> None:
        self._client, self._log, self._authorizer = client, command_log, authorizer
        self._reauthorizer = Reauthorizer(authorizer)
        self._total_seconds = total_seconds
        self._running: dict[str, RunningCommand] = {}
        self._ended: OrderedDict[str, RunningCommand] = OrderedDict()
        self._tasks: set[asyncio.Task[None]] = set()
        self._follow_tasks: set[asyncio.Task[CoreEvent]] = set()
        self._released: list[CoreCommand] = []
        self._closing = False

    @property
    def running(self) -> tuple[str, ...]:
        """Ids of the commands that are being started or followed."""
        return tuple(self._running)

    @property
    def capacity(self) -> int:
        """Number of further commands that can be followed."""
        return max(0, _MAX_RUNNING - len(self._running))

    async def start(self, command: CoreCommand, *, decided_at: float | None = None) -> RunningCommand:
        """Send an allowed command to the core and return once the core has accepted it.

        Parameters
        ----------
        decided_at : float, optional
            When the revision of its decision was read, in seconds of `boottime`. If that is more than 250 ms ago or not
            given, the command is decided again.

        Raises
        ------
        CoreFailed
            There is no core, or it did not accept the command. The outcome is recorded.
        Denied
            The right was lost since the decision.
        TooManyRequests
            The maximum number of commands, in total or of this user, is running.
        Problem
            The error of ``CommandLogProtocol.start``, for example a limit that is reached.
        """
        client = self._require_client()
        self._check_capacity(command)
        running = RunningCommand(command)
        accepted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        accepted.add_done_callback(lambda future: future.cancelled() or future.exception())
        # In a task of its own: a disconnect of the caller must not interrupt it between intent and outcome.
        self._spawn(running, self._start_and_follow(client, running, decided_at, accepted))
        await asyncio.shield(accepted)
        return running

    async def run(self, command: CoreCommand, *, decided_at: float | None = None) -> AsyncIterator[dict[str, Any]]:
        """Do the same as `start`, then yield the events; errors of the start are raised before the first event."""
        running = await self.start(command, decided_at=decided_at)
        async for event in running.events():
            yield event

    def resume(self, command: CoreCommand) -> RunningCommand:
        """Follow a command that another process sent and no longer follows."""
        client = self._require_client()
        running = RunningCommand(command)
        self._spawn(running, self._follow_to_end(client, running, client.reattach(command)))
        return running

    def find(self, id: str) -> RunningCommand | None:
        """Return a running or recently ended command; the caller checks its ``command.user``."""
        return self._running.get(id) or self._ended.get(id)

    async def close(self) -> None:
        """Stop following, and record the outcomes that are known.

        Commands that were not sent yet have failed. The others continue at the core; their rows stay open, and the next
        process that polls follows them.
        """
        self._closing = True
        for follow_task in self._follow_tasks:
            follow_task.cancel()
        running_commands, tasks = list(self._running.values()), list(self._tasks)
        if tasks:
            await asyncio.wait(tasks, timeout=_CLOSE_SECONDS)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._reauthorizer.close()
        for running in running_commands:
            if running.end is None:
                running.detach()
        if self._released:
            await asyncio.to_thread(self._log.release, self._released)

    def _check_capacity(self, command: CoreCommand) -> None:
        # A client that disconnects leaves its command running but frees its request slot, so the limit per user keeps
        # one user from taking all capacity. A few extra slots let the user stop running commands at the limit.
        user_count = sum(running.command.user == command.user for running in self._running.values())
        if user_count >= _MAX_PER_USER + (_EXTRA_FOR_STOP if command.job == "stops" else 0):
            raise TooManyRequests(
                f"{user_count} commands of yours are already running", remedy="wait for one to end, or stop one"
            )
        if len(self._running) >= _MAX_RUNNING:
            raise TooManyRequests(f"{_MAX_RUNNING} commands are already running", remedy="try again in a moment")

    def _require_client(self) -> CoreClient:
        if self._client is None:
            raise CoreFailed(
                "allowed, but no core is configured",
                remedy="the operator sets `core` in aizen.yaml",
                extensions={"core": "none"},
            )
        return self._client

    def _spawn(self, running: RunningCommand, operation: Awaitable[None]) -> None:
        async def supervise() -> None:
            try:
                await operation
            except Exception:
                # After any error the outcome is recorded and published, so that no reader waits forever.
                log.exception("following command %s failed", running.command.id)
                running.publish(
                    await self._record_outcome(
                        running.command, unknown_end("the service could not follow it any longer")
                    )
                )
            finally:
                self._running.pop(running.command.id, None)
                self._log.drop(running.command)
                if running.end is not None:
                    self._ended[running.command.id] = running
                    while len(self._ended) > _MAX_ENDED:
                        self._ended.popitem(last=False)

        self._running[running.command.id] = running
        task = asyncio.create_task(supervise(), name=f"command {running.command.id}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _start_and_follow(
        self, client: CoreClient, running: RunningCommand, decided_at: float | None, accepted: asyncio.Future[None]
    ) -> None:
        command = running.command
        intent_attempted = sent = False
        try:
            async with client.connect(command) as request:
                decided_at = await self._ensure_fresh_decision(command, decided_at, request.prepare)
                intent_attempted = True
                await self._record_intent(command)
                await self._ensure_fresh_decision(command, decided_at, request.prepare)
                try:
                    await request.send()
                finally:
                    sent = request.sent
                accepted.set_result(None)
                await self._follow_to_end(client, running, request.events())
        except _IntentNotRecordedError as error:
            accepted.set_exception(error.problem)
        except Problem as problem:
            if accepted.done():
                raise
            if intent_attempted or isinstance(problem, CoreFailed):
                state = CommandState.UNKNOWN if sent and _may_have_started(problem) else CommandState.FAILED
                end = await self._record_outcome(command, CoreEvent("end", state=state, message=problem.detail))
                running.publish(end)
                problem.extensions.setdefault("state", str(end.state))
            accepted.set_exception(problem)
        except asyncio.CancelledError:
            accepted.cancel()
            raise
        except Exception as error:
            if not accepted.done():
                accepted.set_exception(error)
            if intent_attempted:
                raise

    async def _record_intent(self, command: CoreCommand) -> None:
        try:
            await asyncio.to_thread(self._log.start, command)
        except Problem as problem:
            # If the response to the commit was lost, the intent may be recorded; then its failure is recorded (R105).
            if problem.extensions.get("indeterminate"):
                raise
            raise _IntentNotRecordedError(problem) from problem

    async def _ensure_fresh_decision(
        self, command: CoreCommand, decided_at: float | None, prepare: Callable[[], None]
    ) -> float:
        for _ in range(_MAX_DECISIONS):
            if self._closing:
                raise Unavailable("the service is stopping")
            prepare()
            if decided_at is not None and boottime() - decided_at <= FRESH_SECONDS:
                return decided_at
            decided_at = boottime()
            if (denial := await self._authorize_start(command)) is not None:
                raise Denied(denial)
        raise Unavailable(f"no decision was younger than {FRESH_SECONDS * 1000:g} ms when it reached the core")

    async def _follow_to_end(
        self, client: CoreClient, running: RunningCommand, events: AsyncIterator[CoreEvent]
    ) -> None:
        command = running.command
        if self._closing:
            self._released.append(command)
            return
        follow_task = asyncio.create_task(follow_command(client, running, events))
        self._follow_tasks.add(follow_task)
        denial_task = asyncio.create_task(self._reauthorizer.wait_for_denial(command))
        try:
            async with asyncio.timeout(self._total_seconds):
                await asyncio.wait({follow_task, denial_task}, return_when=asyncio.FIRST_COMPLETED)
            done = follow_task.done()
            end = (
                follow_task.result() if done else await stop_command(client, command, follow_task, denial_task.result())
            )
        except TimeoutError:
            end = unknown_end(f"not followed any longer after {self._total_seconds:g} s; it may still be running")
        except asyncio.CancelledError:
            self._released.append(command)
            raise
        finally:
            self._follow_tasks.discard(follow_task)
            for task in (follow_task, denial_task):
                task.cancel()
            await asyncio.gather(follow_task, denial_task, return_exceptions=True)
        running.publish(await self._record_outcome(command, end))

    async def _authorize_start(self, command: CoreCommand) -> str | None:
        try:
            async with asyncio.timeout(_DECISION_TIMEOUT_SECONDS):
                return await self._authorizer.authorize_start(command)
        except TimeoutError:
            raise Unavailable(f"no decision within {_DECISION_TIMEOUT_SECONDS:g} s") from None

    async def _record_outcome(self, command: CoreCommand, end: CoreEvent) -> CoreEvent:
        # A reader never gets an outcome that is not in the audit.
        detail = ""
        for pause in _RECORD_PAUSES:
            await asyncio.sleep(pause)
            try:
                await asyncio.to_thread(self._log.finish, command, end)
                return end
            except Exception as error:  # noqa: BLE001  readers get an end after any error
                detail = error.detail if isinstance(error, Problem) else type(error).__name__
        log.error("outcome of command %s could not be recorded: %s", command.id, detail)
        return unknown_end("the outcome could not be recorded")


class _IntentNotRecordedError(Exception):
    """The command log rejected the command; nothing is recorded."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.detail)
        self.problem = problem


def _may_have_started(problem: Problem) -> bool:
    return problem.extensions.get("core") in ("lost", "silent", "invalid-response")
