"""Hands allowed commands to the core, and keeps asking whether they are still allowed."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from aizen_hub.authorization.decisions.decision_service import Question, Ruling
from aizen_hub.commands.authorization_request import request_for
from aizen_hub.commands.command import Command
from aizen_hub.commands.parser import read
from aizen_hub.jobs import leases as watch
from aizen_hub.jobs.core_client import ACCEPT_SECONDS, CoreClient
from aizen_hub.jobs.core_command import Order
from aizen_hub.jobs.runner import Runner
from aizen_hub.jobs.running_command import Running, unknown
from aizen_hub.problems import Problem, Unavailable
from aizen_hub.rbac.identity import Identity, Kind
from aizen_hub.rbac.role import project_of
from aizen_hub.service.core.command_log import SERVICE, Commission, Ledger, recorded
from aizen_hub.service.pipeline import denial_response as refusal
from aizen_hub.service.pipeline.idempotency import Key
from aizen_hub.store.actor import Actor, Road
from aizen_hub.tokens.decision_token import issue_decision

if TYPE_CHECKING:
    from aizen_hub.service.context import House
    from aizen_hub.service.pipeline.request_context import Call
    from aizen_hub.store.transaction import Write

log = logging.getLogger(__name__)

LOOK_SECONDS = 2.0
"""Between two looks for commands that nobody watches over."""
_NOBODY = "nobody answers for it any more"
_MOST = 200
"""Commands that one look takes."""


class _Judge:
    def __init__(self, house: House) -> None:
        self._house = house

    async def before(self, order: Order) -> str | None:
        house = self._house
        commission = house.ledger.open.get(order.id)
        if commission is None:
            return _NOBODY
        return await house.pools.reads.run(lambda: _ask_before(house, order, commission))

    async def again(self, orders: Collection[Order]) -> Mapping[str, str | None]:
        # One place among the reads for all that run: many commands keep nobody from reading.
        house = self._house
        asked = {order.id: house.ledger.open.get(order.id) for order in orders}
        return await house.pools.reads.run(lambda: _ask_again(house, asked))


def core_runner(house: House) -> Runner:
    """Make the runner of a service; without a configured core it refuses every order."""
    settings = house.settings.core
    house.ledger = Ledger(house.store, house.metrics.core)

    def sign(order: Order, body: bytes) -> str:
        assert settings is not None
        if body:
            # What has no body starts nothing: it follows a command, or stops one that somebody has lost the right to,
            # and that must not hang on a clock.
            house.clock.check()
        return issue_decision(
            house.verifier.ring,
            house.settings.service_url,
            settings.audience or settings.url.rstrip("/"),
            subject=order.user,
            project=order.project,
            decision=order.id,
            body=body,
            now=datetime.now(UTC),
        )

    client = None if settings is None else CoreClient(settings, sign)
    return Runner(client, house.ledger, _Judge(house), total_seconds=settings.total_seconds if settings else 3_600.0)


def _ask_before(house: House, order: Order, commission: Commission) -> str | None:
    # As a new command is decided, token and session included. The decision on record said yes: a no has its own row.
    question = commission.question
    with house.store.read() as tx:
        ruling = house.court.decide_in(tx, question)
        watched = not commission.begun or watch.holds(tx, order.id, house.ledger.watcher, ACCEPT_SECONDS)
    if not ruling.decision.allowed:
        row = house.court.row(ruling, question)
        house.store.record([replace(row, details={**row.details, "again": order.id})])
        house.metrics.decision(False, str(ruling.decision.reason))
        commission.refused = ruling
        return ruling.decision.sentence
    if not watched:
        # Whoever watches over it now finds that the core does not know it, and frees its job: so it may not be sent.
        raise Unavailable("the command took too long to reach the core", remedy="give it again")
    return None


def _ask_again(house: House, asked: Mapping[str, Commission | None]) -> Mapping[str, str | None]:
    # No row while the answer stays yes: the decision has one, and a second one per second would bury it. The turn to no
    # ends the command, and its outcome row says why.
    answers: dict[str, str | None] = {}
    with house.store.read() as tx:
        for number, commission in asked.items():
            if commission is None:
                answers[number] = _NOBODY
                continue
            try:
                decision = house.court.judge(tx, commission.standing)
            except Unavailable:
                raise
            except (Problem, LookupError, TypeError, ValueError) as error:
                # What is wrong with one keeps none of the others from being decided.
                log.warning("command %s could not be decided again (%s)", number, type(error).__name__)
                continue
            answers[number] = None if decision.allowed else decision.sentence
    return answers


async def start(call: Call, parsed: Command, question: Question, ruling: Ruling) -> Running:
    """Give one allowed command to the core.

    Raises
    ------
    CoreFailed, LimitReached, Denied, Conflict
        With the decision, which stays recorded.
    """
    house, actor = call.house, call.actor
    scope = question.request.scope
    files = call.body.files or {}
    named = {value for value in parsed.arguments.values() if isinstance(value, str)}
    order = Order(
        ruling.id,
        parsed.canonical,
        parsed.verb,
        parsed.noun,
        parsed.arguments,
        user=actor.identity.name if actor.identity.kind is Kind.USER else str(actor.identity),
        project=project_of(scope),
        session=actor.session,
        job=None if parsed.entry.job is None else parsed.entry.job.value,
        files={name: content for name, content in files.items() if name in named},
    )
    commission = house.ledger.open[order.id] = Commission(question, house.court.text(parsed), Key.of(call))
    try:
        return await house.runner.start(order, decided=ruling.read_at)
    except Problem as failure:
        house.ledger.open.pop(order.id, None)
        refused = commission.refused
        problem = failure if refused is None else await refusal.problem(call, refused, question)
        problem.more.setdefault("decision", refusal.view(ruling))
        problem.more.setdefault("id", ruling.id)
        raise problem from None


async def replayed(call: Call) -> Mapping[str, Any] | None:
    """Return the state of the command that an earlier request with the same key began, or None."""
    key = Key.of(call)
    if key is None:
        return None
    before = await call.look(key.find)
    if before is None or not isinstance(before.value, dict):
        return None
    number = str(before.value["id"])
    return await state_of(call, number) or {"id": number, "canonical": "", "state": "unknown", "result": None}


async def state_of(call: Call, number: str) -> Mapping[str, Any] | None:
    """Return what is known of a command of the caller's own; None for somebody else's as for none."""
    identity = call.identity
    running = call.house.runner.find(number)
    user = identity.name if identity.kind is Kind.USER else str(identity)
    if running is not None and running.order.user == user:
        await call.read(lambda tx: tx.revision)
        return running.to_json()
    return await call.read(lambda tx: recorded(tx, number, identity))


async def resume(house: House) -> None:
    """Go on watching over what this process follows, and take up what nobody watches over (T-08).

    Called every few seconds on every replica. Without anything to watch over it is one look at an index.
    """
    running = house.runner.running
    if not running and not await house.look(watch.anybody_waits):
        return
    watcher, most = house.ledger.watcher, min(_MOST, house.runner.room)

    def work(tx: Write) -> Sequence[Any]:
        watch.keep(tx, watcher, running)
        # With another catalog than is in force nothing may be decided here.
        return watch.take(tx, watcher, most) if tx.state.catalog_hash == house.catalog.hash else ()

    for row in await house.change(SERVICE, work):
        if row.decision_id in house.runner.running:
            continue
        order, commission = _again(house, row)
        if commission is not None:
            house.ledger.open[order.id] = commission
        if house.settings.core is not None:
            house.runner.resume(order)
        else:
            end = unknown("no core is configured any more; it may still be running there")
            try:
                await house.pools.writes.run(partial(house.ledger.finish, order, end))
            finally:
                house.ledger.forget(order)


def _again(house: House, row: Any) -> tuple[Order, Commission | None]:
    given = partial(
        Order, row.decision_id, row.command, user=row.user, project=row.project, session=row.session, job=row.job
    )
    try:
        parsed = read(row.command, house.catalog)
        identity = Identity.parse(row.user) if ":" in row.user else Identity.user(row.user)
        acting = None if row.acting is None else Identity.parse(row.acting)
    except (Problem, ValueError):
        # Another catalog is in force: what nobody can decide any more is stopped, but its end is still heard of.
        return given("", "", {}), None
    actor = Actor(identity, Road.KERNEL, session=row.session, project=row.project, acting=acting)
    question = Question(actor, request_for(parsed, row.project, identity, row.session), command=parsed, token=None)
    order = given(parsed.verb, parsed.noun, parsed.arguments)
    return order, Commission(question, row.command, begun=True, lost=row.lost)
