"""The count of running jobs under everything that can go wrong between service and core, found by search.

Runner, command log and database are real; the core is a model that starts, forgets, falls silent and comes back. After
every step: each job that runs at the core is counted, so none is freed too early, and none is freed twice. At the end:
once the core can be reached again, the count equals what is running there.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Mapping
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any, cast

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from sqlalchemy import select

from aizen_hub.accounts.roles import limits
from aizen_hub.authorization.decisions.decision_service import DecisionRequest
from aizen_hub.jobs import follower, leases, reauthorizer, runner
from aizen_hub.jobs.core_client import CoreClient
from aizen_hub.jobs.core_command import CoreCommand
from aizen_hub.jobs.core_event import CommandState, CoreEvent
from aizen_hub.jobs.runner import Runner
from aizen_hub.jobs.running_command import unknown_end
from aizen_hub.problems import CoreFailed, LimitReached
from aizen_hub.rbac.decision import AuthorizationRequest
from aizen_hub.rbac.identity import Identity
from aizen_hub.service.core.command_log import SERVICE, CommandLog, InFlightCommand, record_end
from aizen_hub.store import tables
from aizen_hub.store.actor import Actor, Channel
from tests.accounts.harness import OPERATOR, AccountsHarness, open_harness

MAX_JOBS = 3
NAMES = ("churn", "slow")
EMMA = Actor(Identity.user("emma"), Channel.KERNEL, project="p1")
CORE = Actor(Identity.service_account("core"), Channel.SERVICE_ACCOUNT)
QUICK: tuple[tuple[ModuleType, str, object], ...] = (
    (reauthorizer, "_INTERVAL_SECONDS", 0.005),
    (reauthorizer, "_MIN_PAUSE_SECONDS", 0.001),
    (follower, "_REATTACH_PAUSES", (0.0, 0.0)),
    (follower, "_CANCEL_PAUSES", (0.0, 0.0)),
    (follower, "_WAIT_FOR_STOP_SECONDS", 0.2),
    (runner, "_RECORD_PAUSES", (0.0, 0.0)),
    (runner, "_CLOSE_SECONDS", 1.0),
    (leases, "LEASE_SECONDS", 0.0),
    (leases, "START_SECONDS", 0.0),
)


class Core:
    """A model of the core and its client: the running commands and the outcomes of the ended ones."""

    def __init__(self) -> None:
        self.running: dict[str, CoreCommand] = {}
        self.ended: dict[str, CommandState] = {}
        self.down = False
        self.start = "accepts"
        self.followers: dict[str, list[asyncio.Queue[CoreEvent | None]]] = {}

    def end(self, id: str, state: CommandState) -> None:
        del self.running[id]
        self.ended[id] = state
        self._publish(id, CoreEvent("end", state=state))

    def disconnect(self) -> None:
        for id in list(self.followers):
            self._publish(id, None)

    def forget(self) -> None:
        self.running.clear()
        self.ended.clear()
        self.disconnect()

    def _publish(self, id: str, event: CoreEvent | None) -> None:
        for queue in self.followers.pop(id, []):
            queue.put_nowait(event)

    @asynccontextmanager
    async def connect(self, command: CoreCommand) -> AsyncIterator[Request]:
        self._check()
        yield Request(self, command)

    async def reattach(self, command: CoreCommand) -> AsyncIterator[CoreEvent]:
        self._check(command)
        async for event in self.events(command):
            yield event

    async def cancel(self, command: CoreCommand) -> None:
        self._check(command)
        if command.id in self.running:
            self.end(command.id, CommandState.STOPPED)

    async def events(self, command: CoreCommand) -> AsyncIterator[CoreEvent]:
        if command.id in self.ended:
            yield CoreEvent("end", state=self.ended[command.id])
            return
        queue: asyncio.Queue[CoreEvent | None] = asyncio.Queue()
        self.followers.setdefault(command.id, []).append(queue)
        event = await queue.get()
        if event is None:
            raise CoreFailed("the connection to the core was lost", extensions={"core": "lost"})
        yield event

    def _check(self, command: CoreCommand | None = None) -> None:
        if self.down:
            raise CoreFailed("the core cannot be reached", extensions={"core": "down"})
        if command is not None and command.id not in self.running and command.id not in self.ended:
            raise CoreFailed("the core does not know this command", extensions={"core": "unknown-command"})


class Request:
    def __init__(self, core: Core, command: CoreCommand) -> None:
        self.core, self.command, self.sent = core, command, False

    def prepare(self) -> None:
        pass

    async def send(self) -> None:
        core, command = self.core, self.command
        self.sent = True
        if core.start == "refuses":
            raise CoreFailed("the core refused", extensions={"core": "refused"})
        if core.start == "answers nothing":
            raise CoreFailed("the core has not answered", extensions={"core": "silent"})
        if command.job == "stops":
            for id, running in list(core.running.items()):
                if running.key == command.key:
                    core.end(id, CommandState.STOPPED)
            core.ended[command.id] = CommandState.DONE
        else:
            core.running[command.id] = command
        if core.start == "starts and says nothing":
            raise CoreFailed("the core has not answered", extensions={"core": "silent"})

    def events(self) -> AsyncIterator[CoreEvent]:
        return self.core.events(self.command)


class JobCounting(RuleBasedStateMachine):
    template: Path

    def __init__(self) -> None:
        super().__init__()
        self.patch = pytest.MonkeyPatch()
        for module, name, value in QUICK:
            self.patch.setattr(module, name, value)
        self.folder = Path(tempfile.mkdtemp())
        shutil.copytree(self.template, self.folder / "data")
        self.harness: AccountsHarness = open_harness(self.folder / "data")
        self.harness.execute(OPERATOR, limits.set_limit, EMMA.identity, "p1", "jobs", MAX_JOBS)
        self.loop = asyncio.new_event_loop()
        self.core, self.turn, self.denial = Core(), 0, cast("str | None", None)
        self._open()

    def teardown(self) -> None:
        self._reconcile_with_core()
        for id in list(self.core.running):
            self._await(self._run_on_loop(partial(self.core.end, id, CommandState.DONE)))
        self._reconcile_with_core()
        assert self._jobs_freed_twice() == []
        self._await(self.runner.close())
        self.loop.close()
        self.harness.close()
        self.patch.undo()
        shutil.rmtree(self.folder)

    def _open(self) -> None:
        self.log = CommandLog(self.harness.store, lambda outcome, seconds: None)

        self.runner = Runner(cast("CoreClient", self.core), self.log, self)

    async def authorize_start(self, command: CoreCommand) -> str | None:
        return self.denial

    async def reauthorize(self, commands: Collection[CoreCommand]) -> Mapping[str, str | None]:
        return dict.fromkeys((command.id for command in commands), self.denial)

    def _await(self, operation: Coroutine[Any, Any, Any]) -> Any:
        return self.loop.run_until_complete(asyncio.wait_for(operation, 20))

    async def _run_on_loop(self, action: Callable[[], None]) -> None:
        action()
        await asyncio.sleep(0.01)

    def _until(self, check: Callable[[], bool]) -> None:
        for _ in range(3_000):
            if check():
                return
            self._await(asyncio.sleep(0.01))
        raise AssertionError((self._counted_jobs(), set(self.core.running), self.core.down))

    def _counted_jobs(self) -> set[str]:
        with self.harness.read() as tx:
            return set(tx.conn.scalars(select(tables.jobs.c.decision_id).where(tables.jobs.c.ended.is_(None))))

    def _jobs_freed_twice(self) -> list[str]:
        a = tables.audit
        with self.harness.read() as tx:
            bodies = tx.conn.scalars(select(a.c.body).where(a.c.event == "job.ended"))
            freed = [json.loads(body)["details"]["job"] for body in bodies]
        return sorted({id for id in freed if freed.count(id) > 1})

    def _make_command(self, name: str, verb: str) -> CoreCommand:
        self.turn += 1
        decision_id, job = f"{self.turn:032}", "starts" if verb == "start" else "stops"
        text = f"{verb} training {name}"
        command = CoreCommand(decision_id, text, verb, "training", {"name": name}, "emma", "p1", job=cast("Any", job))
        self.log.in_flight[decision_id] = InFlightCommand(DecisionRequest(EMMA, AuthorizationRequest(None, "p1")), text)
        return command

    def _start(self, command: CoreCommand) -> str:
        try:
            self._await(self.runner.start(command))
        except CoreFailed as problem:
            return str(problem.extensions["core"])
        except LimitReached:
            assert len(self._counted_jobs()) >= MAX_JOBS
            return "limit"
        return "accepted"

    def _resume(self) -> None:
        with self.harness.write(SERVICE) as tx:
            leases.renew(tx, self.log.owner, self.runner.running)
            rows = leases.claim(tx, self.log.owner, 100)
        for row in rows:
            if row.decision_id in self.runner.running:
                continue
            verb, _, name = str(row.command).split()
            command = CoreCommand(
                row.decision_id, row.command, verb, "training", {"name": name}, "emma", "p1", job=row.job
            )
            decision_request = DecisionRequest(EMMA, AuthorizationRequest(None, "p1"))
            self.log.in_flight[command.id] = InFlightCommand(
                decision_request, row.command, intent_recorded=True, is_lost=row.lost
            )

            async def resume(command: CoreCommand = command) -> None:
                self.runner.resume(command)
                await asyncio.sleep(0.01)

            self._await(resume())

    def _reconcile_with_core(self) -> None:
        self.core.down, self.core.start, self.denial = False, "accepts", None

        def reconciled() -> bool:
            if self._counted_jobs() == set(self.core.running):
                return True
            self._resume()
            return False

        self._until(reconciled)

    @rule(
        name=st.sampled_from(NAMES),
        how=st.sampled_from(["accepts"] * 3 + ["refuses", "answers nothing", "starts and says nothing"]),
    )
    def start(self, name: str, how: str) -> None:
        self.core.start = how
        before = self._counted_jobs()
        answer = self._start(self._make_command(name, "start"))
        self.core.start = "accepts"
        if answer in ("limit", "down", "refused"):
            assert self._counted_jobs() <= before

    @rule(name=st.sampled_from(NAMES))
    def stop(self, name: str) -> None:
        if self._start(self._make_command(name, "stop")) == "accepted":
            self._await(asyncio.sleep(0.02))

    @precondition(lambda self: self.core.running)
    @rule(
        state=st.sampled_from([CommandState.DONE, CommandState.FAILED, CommandState.STOPPED]),
        reports=st.integers(0, 2),
        data=st.data(),
    )
    def end(self, state: CommandState, reports: int, data: st.DataObject) -> None:
        id = data.draw(st.sampled_from(sorted(self.core.running)))
        self._await(self._run_on_loop(lambda: self.core.end(id, state)))
        for _ in range(reports):
            with self.harness.write(CORE) as tx:
                record_end(tx, id, CoreEvent("end", state=state))
            assert id not in self._counted_jobs()

    @rule()
    def lose_the_connections(self) -> None:
        self._await(self._run_on_loop(self.core.disconnect))

    @rule()
    def core_forgets(self) -> None:
        self._await(self._run_on_loop(self.core.forget))

    @rule(down=st.booleans())
    def core_goes_down_or_up(self, down: bool) -> None:
        self.core.down = down
        if down:
            self._await(self._run_on_loop(self.core.disconnect))

    @rule()
    def service_restarts(self) -> None:
        self._await(self.runner.close())
        self.core.followers.clear()
        self._open()
        self._resume()

    @rule()
    def unowned_commands_are_polled(self) -> None:
        self._resume()

    @rule()
    def right_is_lost(self) -> None:
        self.denial = "revoked"
        followed = {id for id in self.core.running if self.core.followers.get(id)}
        if not self.core.down:
            self._until(lambda: not followed & set(self.core.running))
        self._await(asyncio.sleep(0.02))
        self.denial = None

    @invariant()
    def running_jobs_are_counted(self) -> None:
        assert set(self.core.running) <= self._counted_jobs()
        assert len(self._counted_jobs()) <= MAX_JOBS
        assert self._jobs_freed_twice() == []


def test_a_job_is_freed_once_and_never_early(populated_folder: Path) -> None:
    from hypothesis.stateful import run_state_machine_as_test

    JobCounting.template = populated_folder
    run_state_machine_as_test(
        JobCounting,
        settings=settings(
            max_examples=25, stateful_step_count=15, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )


@pytest.mark.parametrize("unknown_to_core", [True, False])
def test_the_text_of_a_message_frees_no_job(populated_folder: Path, tmp_path: Path, unknown_to_core: bool) -> None:
    shutil.copytree(populated_folder, tmp_path / "data")
    harness = open_harness(tmp_path / "data")
    try:
        log = CommandLog(harness.store, lambda outcome, seconds: None)
        command = CoreCommand(
            "1" * 32, "start training churn", "start", "training", {"name": "churn"}, "emma", "p1", job="starts"
        )
        log.in_flight[command.id] = InFlightCommand(
            DecisionRequest(EMMA, AuthorizationRequest(None, "p1")), command.command
        )
        log.start(command)
        log.finish(command, unknown_end("the core does not know this command", unknown_to_core=unknown_to_core))
        log.drop(command)
        with harness.read() as tx:
            counted = list(tx.conn.scalars(select(tables.jobs.c.decision_id).where(tables.jobs.c.ended.is_(None))))
        assert (counted, log.in_flight) == ([] if unknown_to_core else [command.id], {})
    finally:
        harness.close()
