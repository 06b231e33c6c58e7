"""Hands allowed commands to the core, and keeps asking whether they are still allowed."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from aizen_hub.accounts.court import Question, Ruling
from aizen_hub.accounts.court_case import clock
from aizen_hub.commands.command import Command
from aizen_hub.commands.question import request_for
from aizen_hub.commands.reader import read
from aizen_hub.jobs.core_client import CoreClient
from aizen_hub.jobs.order import Order
from aizen_hub.jobs.runner import Runner
from aizen_hub.jobs.running import Running
from aizen_hub.problems import Problem
from aizen_hub.rbac.identity import Identity, Kind
from aizen_hub.rbac.role import SYSTEM
from aizen_hub.service.ledger import Commission, Ledger, recorded
from aizen_hub.service.refusal import view
from aizen_hub.service.replay import Key
from aizen_hub.store import tables
from aizen_hub.store.actor import Actor, Road
from aizen_hub.tokens.decision_token import issue_decision

if TYPE_CHECKING:
    from aizen_hub.service.call import Call
    from aizen_hub.service.house import House

_DEFAULT_AUDIENCE = "aizen-core"


def core_runner(house: House) -> Runner:
    """Make the runner of a service; without a configured core it refuses every order."""
    settings = house.settings.core
    house.ledger = Ledger(house.store, house.metrics.core)

    async def still_allowed(order: Order) -> str | None:
        commission = house.ledger.open.get(order.id)
        if commission is None:
            return "nobody answers for it any more"
        return await house.pools.reads.run(lambda: _ask_again(house, commission.standing))

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
    return Runner(client, house.ledger, still_allowed, total_seconds=settings.total_seconds if settings else 3_600.0)


def _ask_again(house: House, question: Question) -> str | None:
    # No row while the answer stays yes: the decision has one, and a second one per second would bury it. The turn to no
    # ends the command, and its outcome row says why.
    with house.store.read() as tx:
        decision = house.court.judge(tx, question)
    return None if decision.allowed else decision.sentence


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
        project=None if scope == SYSTEM else scope,
        session=actor.session,
        job=None if parsed.entry.job is None else parsed.entry.job.value,
        files={name: content for name, content in files.items() if name in named},
    )
    house.ledger.open[order.id] = Commission(question, house.court.text(parsed), Key.of(call))
    try:
        return await house.runner.start(order, decided=time.monotonic() - (clock() - ruling.read_at))
    except Problem as problem:
        house.ledger.open.pop(order.id, None)
        problem.more.setdefault("decision", view(ruling))
        problem.more.setdefault("id", ruling.id)
        raise


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
    """Take up the jobs that the core still has from before this start."""
    if house.settings.core is None:
        return
    j = tables.jobs

    def rows() -> list[Any]:
        with house.store.read() as tx:
            return list(tx.conn.execute(select(j).where(j.c.ended.is_(None), j.c.outcome.is_(None)).limit(1000)).all())

    for row in await house.pools.reads.run(rows):
        if row.decision_id in house.ledger.open:
            continue
        try:
            parsed = read(row.command, house.catalog)
            identity = Identity.parse(row.user) if ":" in row.user else Identity.user(row.user)
            acting = None if row.acting is None else Identity.parse(row.acting)
        except (Problem, ValueError):
            continue
        project = None if row.project == SYSTEM else row.project
        actor = Actor(identity, Road.KERNEL, session=row.session, project=project, acting=acting)
        question = Question(actor, request_for(parsed, project, identity, row.session), command=parsed, token=None)
        order = Order(
            row.decision_id,
            row.command,
            parsed.verb,
            parsed.noun,
            parsed.arguments,
            user=row.user,
            project=project,
            session=row.session,
            job="starts",
        )
        house.ledger.open[order.id] = Commission(question, house.court.text(parsed))
        house.runner.resume(order)
