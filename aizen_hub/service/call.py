"""One request that is being answered: who asks, what for, and the three ways to the store."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from tornado.httputil import HTTPHeaders

from aizen_hub.accounts import gate
from aizen_hub.accounts.court import Question, Ruling
from aizen_hub.audit.row import AuditRow
from aizen_hub.commands.command import Command
from aizen_hub.problems import Denied, NotAuthenticated, NotFound, Problem
from aizen_hub.rbac.decision import Decision, Reason, Request
from aizen_hub.rbac.identity import Identity
from aizen_hub.rbac.permission import Permission
from aizen_hub.rbac.role import SYSTEM
from aizen_hub.service import replay
from aizen_hub.service.roads import Caller
from aizen_hub.service.route import Answer, Document, Kind, Route, Stream
from aizen_hub.store.actor import Actor
from aizen_hub.store.transaction import Read, Write, make_row

if TYPE_CHECKING:
    from aizen_hub.service.house import House

T = TypeVar("T")


class Call:
    """One request, checked: what a route's function gets.

    Attributes
    ----------
    members : mapping of str to str
        Of the path.
    body, query : Schema or None
    decision : str or None
        Id of the decision that was made for it, for logs.
    gone : asyncio.Event
        Set when the client hung up.
    """

    def __init__(
        self,
        house: House,
        route: Route,
        caller: Caller,
        members: Mapping[str, str],
        body: Any,
        query: Any,
        headers: HTTPHeaders,
    ) -> None:
        self.house, self.route, self.caller = house, route, caller
        self.members, self.body, self.query, self.headers = members, body, query, headers
        self.decision: str | None = None
        self.gone = asyncio.Event()

    @property
    def actor(self) -> Actor:
        assert self.caller.actor is not None, "a route that takes no credential has no actor"
        return self.caller.actor

    @property
    def identity(self) -> Identity:
        return self.actor.identity

    def question(self, request: Request, command: Command | None = None) -> Question:
        """Put a request of this caller as a question to the court."""
        return Question(self.actor, request, command=command, token=self.caller.token)

    async def within_deadline(self, work: Awaitable[Answer | Stream | Document]) -> Answer | Stream | Document:
        async with asyncio.timeout(self.house.settings.service.deadline_seconds):
            return await work

    async def rule(self, question: Question) -> Ruling:
        """Let the court decide and record one question; a refusal to answer at all is an error of the credential.

        Raises
        ------
        NotAuthenticated
            The token is good no longer: its session ended, its project changed, it was withdrawn.
        """
        ruling = await self.house.court.decide(question)
        self._note(ruling)
        return ruling

    async def read(self, work: Callable[[Read], T]) -> T:
        """Decide what the route needs, and do ``work`` in the same view of the store.

        For what everybody may know about themselves; whatever shows more uses `write`, which records what was read.

        Raises
        ------
        Denied, NotFound, NotAuthenticated
            Recorded.
        """
        store, court = self.house.store, self.house.court

        def run() -> tuple[T | Problem, Ruling]:
            with store.read() as tx:
                ruling = court.decide_in(tx, self._needed(tx))
                try:
                    self._check(ruling)
                    return work(tx), ruling
                except Problem as problem:
                    result = problem
            store.record([_row(self.actor, ruling, self.route, result)])
            return result, ruling

        result, ruling = await self.house.pools.reads.run(run)
        self._note(ruling)
        if isinstance(result, Problem):
            raise result
        return result

    async def write(self, work: Callable[[Write, Ruling], Answer], question: Question | None = None) -> Answer:
        """Decide, and replay or do ``work``, all in one transaction (R81, R93, R103).

        Without a question the route's own need is decided. A refusal changes nothing and is recorded on its own.
        """
        store, court = self.house.store, self.house.court
        key = replay.Key.of(self)

        def run() -> tuple[Answer | Problem, Ruling | None]:
            ruling: Ruling | None = None
            try:
                with store.write(self.actor) as tx:
                    ruling = court.decide_in(tx, question or self._needed(tx))
                    self._check(ruling)
                    if key is not None and (before := key.find(tx)) is not None:
                        return before, ruling
                    answer = work(tx, ruling)
                    if key is not None:
                        key.keep(tx, answer)
                    return answer, ruling
            except Problem as problem:
                if ruling is None:
                    raise
                store.record([_row(self.actor, ruling, self.route, problem, question)])
                return problem, ruling

        answer, ruling = await self.house.pools.writes.run(run)
        if ruling is not None:
            self._note(ruling)
        if isinstance(answer, Problem):
            raise answer
        return answer

    async def alone(self, actor: Actor, work: Callable[[Write], T]) -> T:
        """Do ``work`` for a road whose credential is the right: the hub's secret, the core's, an activation token."""
        store = self.house.store

        def run() -> T:
            with store.write(actor) as tx:
                return work(tx)

        return await self.house.pools.writes.run(run)

    async def look(self, work: Callable[[Read], T]) -> T:
        """Read for such a road."""
        store = self.house.store

        def run() -> T:
            with store.read() as tx:
                return work(tx)

        return await self.house.pools.reads.run(run)

    def _needed(self, tx: Read) -> Question:
        needs, session = self.route.needs, self.actor.session
        if needs.kind is Kind.OPERATION:
            wanted: str | None = permission_of(tx, needs.name)
        elif needs.kind is Kind.HANDLER:
            wanted = gate.command_permission(tx, needs.name)
        else:
            wanted = None
        scope = None
        if needs.scope != SYSTEM:
            scope = self.members.get(needs.scope) or _member(self.query, needs.scope) or _member(self.body, needs.scope)
        permission = None if wanted is None else Permission.parse(wanted)
        return self.question(Request(permission, scope or SYSTEM, session))

    def _check(self, ruling: Ruling) -> None:
        if not ruling.decision.allowed:
            raise refusal(ruling)

    def _note(self, ruling: Ruling) -> None:
        self.decision = ruling.id
        self.house.metrics.decision(ruling.decision.allowed, str(ruling.decision.reason))


def _member(document: Any, name: str) -> str | None:
    value = getattr(document, name, None)
    return value if isinstance(value, str) else None


def permission_of(tx: Read, operation: str) -> str:
    """Return the permission of an action that is no command."""
    own = tx.catalog.endpoints.get(operation)
    return str(own) if own is not None else _OPERATIONS.get(operation) or gate.permission(tx, operation)


_OPERATIONS = {"audit": "read:audit", "sessions": "manage:sessions"}


def _row(actor: Actor, ruling: Ruling, route: Route, problem: Problem, question: Question | None = None) -> AuditRow:
    decision = ruling.decision
    if decision.allowed:
        # The base right was there, a finer rule said no: the row must not read as an allow.
        decision = Decision(False, _REASONS.get(problem.slug, Reason.CONFLICT), problem.detail, role=decision.role)
    command = None if question is None or question.command is None else question.command.entry.name
    return make_row(
        actor, "decision", ruling.at, decision=decision, id=ruling.id, command=command, route=route.name, decided_at=ruling.revision
    )


_REASONS = {
    "denied": Reason.NO_ASSIGNMENT,
    "not-found": Reason.UNKNOWN_PROJECT,
    "escalation": Reason.ESCALATION,
    "limit-reached": Reason.LIMIT,
    "command-syntax": Reason.SYNTAX,
    "bad-input": Reason.SYNTAX,
    "project-required": Reason.PROJECT_REQUIRED,
}


def refusal(ruling: Ruling) -> Problem:
    """Return the problem that a denial is shown as; the reason is in its ``decision``."""
    decision = ruling.decision
    if decision.reason is Reason.SESSION_ENDED:
        return NotAuthenticated(decision.sentence, more={"code": "session-ended"})
    if decision.reason is Reason.NOT_ACTIVE:
        return NotAuthenticated(decision.sentence, more={"code": "not-active"})
    if decision.reason is Reason.UNKNOWN_PROJECT:
        return NotFound(decision.sentence, more={"decision": view(ruling)})
    return Denied(decision.sentence, more={"decision": view(ruling)})


def view(ruling: Ruling) -> dict[str, Any]:
    """Return a ruling as the API shows it."""
    decision = ruling.decision
    return {
        "id": ruling.id,
        "allowed": decision.allowed,
        "reason": str(decision.reason),
        "sentence": decision.sentence,
        "revision": ruling.revision,
        "assignment": decision.assignment,
        "role": decision.role,
        "at": ruling.at.isoformat().replace("+00:00", "Z"),
    }


def etag(version: int) -> str:
    return f'"{version}"'

