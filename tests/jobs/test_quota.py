"""The count of jobs under everything that can go wrong between service and core, found by search.

Real runner, ledger and database; the core is a model of one that starts, forgets, falls silent and comes back. What
must hold after every step: what runs at the core is on the count, so a job is never freed too early; and no job is
freed twice. What must hold in the end: once the core can be asked again, the count is what runs there.
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
from aizen_hub.authorization.decisions.decision_service import Question
from aizen_hub.jobs import follower as following
from aizen_hub.jobs import leases as watch
from aizen_hub.jobs import reauthorizer as rounds
from aizen_hub.jobs import runner
from aizen_hub.jobs.core_client import CoreClient
from aizen_hub.jobs.core_command import Order
from aizen_hub.jobs.core_event import CoreEvent, State
from aizen_hub.jobs.runner import Runner
from aizen_hub.jobs.running_command import unknown
from aizen_hub.problems import CoreFailed, LimitReached
from aizen_hub.rbac.decision import Request
from aizen_hub.rbac.identity import Identity
from aizen_hub.service.core.command_log import SERVICE, Commission, Ledger, record_end
from aizen_hub.store import tables
from aizen_hub.store.actor import Actor, Road
from tests.accounts.harness import OPERATOR, House, open_house

MOST = 3
NAMES = ("churn", "slow")
EMMA = Actor(Identity.user("emma"), Road.KERNEL, project="p1")
CORE = Actor(Identity.service_account("core"), Road.SERVICE_ACCOUNT)
QUICK: tuple[tuple[ModuleType, str, object], ...] = (
    (rounds, "_EVERY_SECONDS", 0.005),
    (rounds, "_LEAST_PAUSE", 0.001),
    (following, "_REATTACH_PAUSES", (0.0, 0.0)),
    (following, "_CANCEL_PAUSES", (0.0, 0.0)),
    (following, "_WAIT_FOR_STOP_SECONDS", 0.2),
    (runner, "_RECORD_PAUSES", (0.0, 0.0)),
    (runner, "_CLOSE_SECONDS", 1.0),
    (watch, "LEASE_SECONDS", 0.0),
    (watch, "START_SECONDS", 0.0),
)


class Core:
    """What runs at the core, and what became of what ran; also the client that speaks to it."""

    def __init__(self) -> None:
        self.running: dict[str, Order] = {}
        self.ended: dict[str, State] = {}
        self.down = False
        self.start = "accepts"
        self.followers: dict[str, list[asyncio.Queue[CoreEvent | None]]] = {}

    def end(self, id: str, state: State) -> None:
        del self.running[id]
        self.ended[id] = state
        self._tell(id, CoreEvent("end", state=state))

    def break_off(self) -> None:
        for id in list(self.followers):
            self._tell(id, None)

    def forget(self) -> None:
        self.running.clear()
        self.ended.clear()
        self.break_off()

    def _tell(self, id: str, event: CoreEvent | None) -> None:
        for queue in self.followers.pop(id, []):
            queue.put_nowait(event)

    @asynccontextmanager
    async def connect(self, order: Order) -> AsyncIterator[Call]:
        self._check()
        yield Call(self, order)

    async def reattach(self, order: Order) -> AsyncIterator[CoreEvent]:
        self._check(order)
        async for event in self.events(order):
            yield event

    async def cancel(self, order: Order) -> None:
        self._check(order)
        if order.id in self.running:
            self.end(order.id, State.STOPPED)

    async def events(self, order: Order) -> AsyncIterator[CoreEvent]:
        if order.id in self.ended:
            yield CoreEvent("end", state=self.ended[order.id])
            return
        queue: asyncio.Queue[CoreEvent | None] = asyncio.Queue()
        self.followers.setdefault(order.id, []).append(queue)
        event = await queue.get()
        if event is None:
            raise CoreFailed("the connection to the core was lost", more={"core": "lost"})
        yield event

    def _check(self, order: Order | None = None) -> None:
        if self.down:
            raise CoreFailed("the core cannot be reached", more={"core": "down"})
        if order is not None and order.id not in self.running and order.id not in self.ended:
            raise CoreFailed("the core does not know this command", more={"core": "forgotten"})


class Call:
    def __init__(self, core: Core, order: Order) -> None:
        self.core, self.order, self.sent = core, order, False

    def prepare(self) -> None:
        pass

    async def begin(self) -> None:
        core, order = self.core, self.order
        self.sent = True
        if core.start == "refuses":
            raise CoreFailed("the core refused", more={"core": "refused"})
        if core.start == "answers nothing":
            raise CoreFailed("the core has not answered", more={"core": "silent"})
        if order.job == "stops":
            for id, one in list(core.running.items()):
                if one.key == order.key:
                    core.end(id, State.STOPPED)
            core.ended[order.id] = State.DONE
        else:
            core.running[order.id] = order
        if core.start == "starts and says nothing":
            raise CoreFailed("the core has not answered", more={"core": "silent"})

    def events(self) -> AsyncIterator[CoreEvent]:
        return self.core.events(self.order)


class Counting(RuleBasedStateMachine):
    template: Path

    def __init__(self) -> None:
        super().__init__()
        self.patch = pytest.MonkeyPatch()
        for module, name, value in QUICK:
            self.patch.setattr(module, name, value)
        self.folder = Path(tempfile.mkdtemp())
        shutil.copytree(self.template, self.folder / "data")
        self.house: House = open_house(self.folder / "data")
        self.house.do(OPERATOR, limits.put, EMMA.identity, "p1", "jobs", MOST)
        self.loop = asyncio.new_event_loop()
        self.core, self.turn, self.why = Core(), 0, cast("str | None", None)
        self._open()

    def teardown(self) -> None:
        self._settle_with_the_core()
        for id in list(self.core.running):
            self._do(self._later(partial(self.core.end, id, State.DONE)))
        self._settle_with_the_core()
        assert self._freed_twice() == []
        self._do(self.runner.close())
        self.loop.close()
        self.house.close()
        self.patch.undo()
        shutil.rmtree(self.folder)

    def _open(self) -> None:
        self.ledger = Ledger(self.house.store, lambda outcome, seconds: None)

        self.runner = Runner(cast("CoreClient", self.core), self.ledger, self)

    async def before(self, order: Order) -> str | None:
        return self.why

    async def again(self, orders: Collection[Order]) -> Mapping[str, str | None]:
        return dict.fromkeys((order.id for order in orders), self.why)

    def _do(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self.loop.run_until_complete(asyncio.wait_for(work, 20))

    async def _later(self, act: Callable[[], None]) -> None:
        act()
        await asyncio.sleep(0.01)

    def _until(self, check: Callable[[], bool]) -> None:
        for _ in range(1_000):
            if check():
                return
            self._do(asyncio.sleep(0.01))
        raise AssertionError((self._counted(), set(self.core.running), self.core.down))

    def _counted(self) -> set[str]:
        with self.house.reading() as tx:
            return set(tx.conn.scalars(select(tables.jobs.c.decision_id).where(tables.jobs.c.ended.is_(None))))

    def _freed_twice(self) -> list[str]:
        a = tables.audit
        with self.house.reading() as tx:
            bodies = tx.conn.scalars(select(a.c.body).where(a.c.event == "job.ended"))
            freed = [json.loads(body)["details"]["job"] for body in bodies]
        return sorted({id for id in freed if freed.count(id) > 1})

    def _order(self, name: str, verb: str) -> Order:
        self.turn += 1
        number, job = f"{self.turn:032}", "starts" if verb == "start" else "stops"
        text = f"{verb} training {name}"
        order = Order(number, text, verb, "training", {"name": name}, "emma", "p1", job=cast("Any", job))
        self.ledger.open[number] = Commission(Question(EMMA, Request(None, "p1")), text)
        return order

    def _give(self, order: Order) -> str:
        try:
            self._do(self.runner.start(order))
        except CoreFailed as problem:
            return str(problem.more["core"])
        except LimitReached:
            assert len(self._counted()) >= MOST
            return "limit"
        return "accepted"

    def _resume(self) -> None:
        with self.house.writing(SERVICE) as tx:
            watch.keep(tx, self.ledger.watcher, self.runner.running)
            rows = watch.take(tx, self.ledger.watcher, 100)
        for row in rows:
            if row.decision_id in self.runner.running:
                continue
            verb, _, name = str(row.command).split()
            order = Order(row.decision_id, row.command, verb, "training", {"name": name}, "emma", "p1", job=row.job)
            question = Question(EMMA, Request(None, "p1"))
            self.ledger.open[order.id] = Commission(question, row.command, begun=True, lost=row.lost)

            async def resume(order: Order = order) -> None:
                self.runner.resume(order)
                await asyncio.sleep(0.01)

            self._do(resume())

    def _settle_with_the_core(self) -> None:
        self.core.down, self.core.start, self.why = False, "accepts", None

        def settled() -> bool:
            if self._counted() == set(self.core.running):
                return True
            self._resume()
            return False

        self._until(settled)

    @rule(
        name=st.sampled_from(NAMES),
        how=st.sampled_from(["accepts"] * 3 + ["refuses", "answers nothing", "starts and says nothing"]),
    )
    def start(self, name: str, how: str) -> None:
        self.core.start = how
        before = self._counted()
        answer = self._give(self._order(name, "start"))
        self.core.start = "accepts"
        if answer in ("limit", "down", "refused"):
            assert self._counted() <= before

    @rule(name=st.sampled_from(NAMES))
    def stop(self, name: str) -> None:
        if self._give(self._order(name, "stop")) == "accepted":
            self._do(asyncio.sleep(0.02))

    @precondition(lambda self: self.core.running)
    @rule(state=st.sampled_from([State.DONE, State.FAILED, State.STOPPED]), reports=st.integers(0, 2), data=st.data())
    def end(self, state: State, reports: int, data: st.DataObject) -> None:
        id = data.draw(st.sampled_from(sorted(self.core.running)))
        self._do(self._later(lambda: self.core.end(id, state)))
        for _ in range(reports):
            with self.house.writing(CORE) as tx:
                record_end(tx, id, CoreEvent("end", state=state))
            assert id not in self._counted()

    @rule()
    def lose_the_connections(self) -> None:
        self._do(self._later(self.core.break_off))

    @rule()
    def core_forgets(self) -> None:
        self._do(self._later(self.core.forget))

    @rule(down=st.booleans())
    def core_goes_or_comes(self, down: bool) -> None:
        self.core.down = down
        if down:
            self._do(self._later(self.core.break_off))

    @rule()
    def service_starts_anew(self) -> None:
        self._do(self.runner.close())
        self.core.followers.clear()
        self._open()
        self._resume()

    @rule()
    def chores(self) -> None:
        self._resume()

    @rule()
    def right_is_lost(self) -> None:
        self.why = "revoked"
        followed = {id for id in self.core.running if self.core.followers.get(id)}
        if not self.core.down:
            self._until(lambda: not followed & set(self.core.running))
        self._do(asyncio.sleep(0.02))
        self.why = None

    @invariant()
    def what_runs_is_counted(self) -> None:
        assert set(self.core.running) <= self._counted()
        assert len(self._counted()) <= MOST
        assert self._freed_twice() == []


def test_a_job_is_freed_once_and_never_early(peopled: Path) -> None:
    from hypothesis.stateful import run_state_machine_as_test

    Counting.template = peopled
    run_state_machine_as_test(
        Counting,
        settings=settings(
            max_examples=25, stateful_step_count=15, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )


@pytest.mark.parametrize("forgotten", [True, False])
def test_what_a_message_says_frees_no_job(peopled: Path, tmp_path: Path, forgotten: bool) -> None:
    shutil.copytree(peopled, tmp_path / "data")
    house = open_house(tmp_path / "data")
    try:
        ledger = Ledger(house.store, lambda outcome, seconds: None)
        order = Order(
            "1" * 32, "start training churn", "start", "training", {"name": "churn"}, "emma", "p1", job="starts"
        )
        ledger.open[order.id] = Commission(Question(EMMA, Request(None, "p1")), order.command)
        ledger.begin(order)
        ledger.finish(order, unknown("the core does not know this command", forgotten=forgotten))
        ledger.forget(order)
        with house.reading() as tx:
            left = list(tx.conn.scalars(select(tables.jobs.c.decision_id).where(tables.jobs.c.ended.is_(None))))
        assert (left, ledger.open) == ([] if forgotten else [order.id], {})
    finally:
        house.close()
