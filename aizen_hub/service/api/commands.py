"""Commands and decisions: the heart of the service."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from typing import Any

from aizen_hub.accounts.command_handlers import carry_out
from aizen_hub.authorization.decisions.decision_service import Question, Ruling
from aizen_hub.catalogs.catalog import Executor
from aizen_hub.commands.authorization_request import request_for
from aizen_hub.commands.command import Command
from aizen_hub.problems import BadInput, Fault, NotFound, Problem, SyntaxRefused, TooLarge, UnknownCommand
from aizen_hub.rbac.decision import Decision, Reason, Request
from aizen_hub.rbac.permission import Permission
from aizen_hub.rbac.role import SYSTEM
from aizen_hub.service.api.schemas.commands import CommandAnswer, CommandState, CommandText, DecisionReply
from aizen_hub.service.api.schemas.commands import Question as QuestionBody
from aizen_hub.service.core import gateway as core_road
from aizen_hub.service.http.route import COMMAND, PEOPLE, REGISTERED, Answer, Route, Stream
from aizen_hub.service.pipeline import denial_response as refusal
from aizen_hub.service.pipeline.request_context import Call
from aizen_hub.store.transaction import Write, make_row

_MAX_BODY = 2 << 20


async def command(call: Call) -> Answer | Stream:
    _take_project(call)
    parsed = await _read(call, call.body.text, "/text")
    question = _question(call, parsed)
    if parsed.entry.executor is Executor.ACCOUNTS:
        return await _by_accounts(call, parsed, question)
    return await _by_core(call, parsed, question)


async def decide(call: Call) -> Answer:
    """Decide without doing anything; recorded like every decision."""
    body = call.body
    if body.command is not None:
        question = _question(call, await _read(call, body.command, "/command"))
    else:
        try:
            permission = Permission.parse(body.permission)
        except ValueError as error:
            raise BadInput(str(error), faults=[Fault("/permission", "not `verb:noun`")]) from None
        scope = body.project or call.actor.project or SYSTEM
        question = call.question(Request(permission, scope, call.actor.session))
    ruling = await call.rule(question)
    if ruling.code is not None:
        raise await refusal.problem(call, ruling, question)
    return Answer({"decision": await refusal.shown(call, ruling, question)})


async def state(call: Call) -> Answer:
    """What became of a command of one's own."""
    found = await core_road.state_of(call, call.members["id"])
    if found is None:
        raise NotFound("there is no such command of yours")
    return Answer(found)


async def _read(call: Call, text: str, pointer: str) -> Command:
    try:
        return call.house.reader.read(text)
    except (SyntaxRefused, UnknownCommand, TooLarge) as problem:
        # Refused before any right was looked at, but recorded all the same (R87).
        reason = Reason.UNKNOWN_COMMAND if isinstance(problem, UnknownCommand) else Reason.SYNTAX
        number = await _record_unread(call, text, reason, problem)
        problem.faults = (*problem.faults, Fault(pointer, problem.detail))
        problem.more.setdefault(
            "decision", {"id": number, "allowed": False, "reason": str(reason), "sentence": problem.detail}
        )
        raise


async def _record_unread(call: Call, text: str, reason: Reason, problem: Problem) -> str:
    house, actor = call.house, call.actor

    def work() -> str:
        with house.store.read() as tx:
            now = tx.now
        # The text may hold a secret in a place that nobody can know, since it was not understood: only its first words.
        row = make_row(
            actor,
            "decision",
            now,
            decision=Decision(False, reason, problem.detail),
            command=" ".join(text.split()[:2])[:80],
            length=len(text),
        )
        house.store.record([row])
        return row.id

    call.decision = await house.pools.writes.run(work)
    house.metrics.decision(False, str(reason))
    return call.decision


def _question(call: Call, parsed: Command) -> Question:
    actor = call.actor
    return call.question(request_for(parsed, actor.project, actor.identity, actor.session), parsed)


def _take_project(call: Call) -> None:
    project: str | None = call.body.project
    if project is None:
        return
    if call.actor.session is not None:
        raise BadInput(
            "the project of a session is the session's",
            faults=[Fault("/project", "only without a session")],
            remedy="`set project` changes it",
        )
    call.caller = replace(call.caller, actor=replace(call.actor, project=project))


async def _by_accounts(call: Call, parsed: Command, question: Question) -> Answer:
    files: Mapping[str, str] = call.body.files or {}

    def work(tx: Write, ruling: Ruling) -> Answer:
        result = carry_out(tx, parsed, files).at(tx.revision)
        return Answer(
            {
                "id": ruling.id,
                "canonical": parsed.canonical,
                "decision": refusal.view(ruling),
                "result": result.to_json(),
            },
            202 if result.pending else 200,
        )

    return await call.write(work, question)


async def _by_core(call: Call, parsed: Command, question: Question) -> Answer | Stream:
    known = await core_road.replayed(call)
    ruling = await call.rule(question)
    if not ruling.decision.allowed:
        raise await refusal.problem(call, ruling, question)
    if known is not None:
        return Answer(known, headers={"Idempotency-Replayed": "true"})
    running = await core_road.start(call, parsed, question, ruling)
    first = {"event": "decision", "id": ruling.id, "canonical": parsed.canonical, "decision": refusal.view(ruling)}

    async def events() -> AsyncIterator[Mapping[str, Any]]:
        yield first
        async for event in running.events():
            yield event

    return Stream(events())


ROUTES = (
    Route(
        "POST",
        "/api/v1/decisions",
        PEOPLE,
        REGISTERED,
        decide,
        "Ask whether something is allowed.",
        body=QuestionBody,
        answer=DecisionReply,
        in_time=True,
    ),
    Route(
        "POST",
        "/api/v1/commands",
        PEOPLE,
        COMMAND,
        command,
        "Carry out one command.",
        body=CommandText,
        answer=CommandAnswer,
        stream=True,
        keyed=True,
        max_body=_MAX_BODY,
    ),
    Route("GET", "/api/v1/commands/{id}", PEOPLE, REGISTERED, state, "What became of a command.", answer=CommandState),
)
