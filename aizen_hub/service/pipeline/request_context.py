"""One request that is being answered: who asks, what for, and the three ways to the store."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

from aizen_hub.authorization import checks as gate
from aizen_hub.authorization.decisions.decision_service import Question, Ruling
from aizen_hub.authorization.decisions.evaluation import clock
from aizen_hub.commands.command import Command
from aizen_hub.problems import Problem, Unavailable
from aizen_hub.rbac.decision import Request
from aizen_hub.rbac.identity import Identity
from aizen_hub.rbac.permission import Permission
from aizen_hub.rbac.role import SYSTEM
from aizen_hub.service.auth.authenticator import Caller
from aizen_hub.service.http.request import Headers
from aizen_hub.service.http.route import Answer, Document, Kind, Route, Stream
from aizen_hub.service.pipeline import idempotency as replay
from aizen_hub.service.pipeline.denial_response import problem_in, refused_row, view
from aizen_hub.service.thread_pools import Pool
from aizen_hub.store import failpoints as kill_point
from aizen_hub.store.actor import Actor
from aizen_hub.store.audit_log.record import AuditRow
from aizen_hub.store.transaction import Read, Write, make_row

if TYPE_CHECKING:
    from aizen_hub.service.context import House

T = TypeVar("T")
_ATTEMPTS = 3


class Viewed(NamedTuple, Generic[T]):
    """What was found in one view of the store, and the ruling that it was open to its asker."""

    ruling: Ruling
    question: Question
    result: T | Problem


class Call:
    """One request, checked: what a route's function gets.

    Attributes
    ----------
    members : mapping of str to str
        Of the path.
    body, query : Schema or None
    decision : str or None
        Id of the decision that was made for it, for logs.
    """

    def __init__(
        self,
        house: House,
        route: Route,
        caller: Caller,
        members: Mapping[str, str],
        body: Any,
        query: Any,
        headers: Headers,
    ) -> None:
        self.house, self.route, self.caller = house, route, caller
        self.members, self.body, self.query, self.headers = members, body, query, headers
        self.decision: str | None = None

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
        asked = time.perf_counter()
        ruling = await self.house.court.decide(question)
        self.house.metrics.decided_in(time.perf_counter() - asked)
        self._note(ruling)
        return ruling

    async def read(
        self,
        work: Callable[[Read], T],
        *,
        noted: Callable[[T], Mapping[str, Any]] | None = None,
        event: str = "access.read",
        pool: Pool | None = None,
    ) -> T:
        """Decide what the route needs, and do ``work`` in the same view of the store.

        What everybody may know about themselves is not recorded; whatever needs a right is.

        Parameters
        ----------
        noted : callable, optional
            What to record of a question about others; gets the result of ``work``.
        event : str
            As what it is recorded.
        pool : Pool, optional
            Where it runs; by default with the short reads.

        Raises
        ------
        Denied, NotFound, NotAuthenticated
            Recorded.
        """

        def rows(result: T, at: datetime) -> list[AuditRow]:
            return [] if noted is None else [make_row(self.actor, event, at, **noted(result))]

        result, _ = await self._read(lambda: self._view(work), rows, pool)
        return result

    async def judge(
        self, work: Callable[[Read], T], rows: Callable[[T], Sequence[AuditRow]], *, pool: Pool | None = None
    ) -> T:
        """As `read`, for ``work`` that decides: what it found is handed out only while it is fresh, and on record.

        Deciding may take long where many rights have to be compiled. That holds up nobody who writes, and what came too
        late is decided again on what was compiled.

        Parameters
        ----------
        rows : callable
            What to record of the result of ``work``; gets called again where that had to be done again.

        Raises
        ------
        Denied, NotFound, NotAuthenticated
            Recorded.
        Unavailable
            Nothing was fresh enough within a few attempts.
        """

        def decide() -> Viewed[T]:
            for _ in range(_ATTEMPTS - 1):
                viewed = self._view(work)
                # A refusal is none the worse for its age. What nobody was told needs no row.
                if isinstance(viewed.result, Problem) or viewed.ruling.fresh:
                    return viewed
            return self._view(work)

        for _ in range(_ATTEMPTS):
            result, ruling = await self._read(decide, lambda result, _: rows(result), pool)
            if ruling.fresh:
                return result
        raise Unavailable("the service is too slow to decide on the present state", remedy="try again in a moment")

    def _view(self, work: Callable[[Read], T]) -> Viewed[T]:
        court = self.house.court
        read_at = clock()
        with self.house.store.read() as tx:
            question = self._needed(tx)
            ruling = replace(court.decide_in(tx, question), read_at=read_at)
            try:
                need_allowed(tx, ruling, question)
                return Viewed(ruling, question, work(tx))
            except Problem as problem:
                return Viewed(ruling, question, problem)

    async def _read(
        self,
        look: Callable[[], Viewed[T]],
        rows: Callable[[T, datetime], Sequence[AuditRow]],
        pool: Pool | None,
    ) -> tuple[T, Ruling]:
        store, route = self.house.store, self.route

        def run() -> Viewed[T]:
            viewed = look()
            ruling, question, result = viewed
            if isinstance(result, Problem):
                store.record([self.row(ruling, question, result)])
                return viewed
            own = [self.row(ruling, question)] if route.needs.name else []
            if recorded := [*own, *rows(result, ruling.at)]:
                store.record(recorded)
            return viewed

        ruling, _, result = await (pool or self.house.pools.reads).run(run)
        self._note(ruling)
        if isinstance(result, Problem):
            raise result
        return result, ruling

    async def write(self, work: Callable[[Write, Ruling], Answer], question: Question | None = None) -> Answer:
        """Decide, and replay or do ``work``, all in one transaction (R81, R93, R103).

        Without a question the route's own need is decided. A refusal changes nothing and is recorded on its own.
        """
        store, court = self.house.store, self.house.court
        key = replay.Key.of(self)

        def run() -> tuple[Answer | Problem, Ruling | None]:
            ruling: Ruling | None = None
            asked = question
            try:
                with store.write(self.actor) as tx:
                    asked = asked or self._needed(tx)
                    ruling = court.decide_in(tx, asked)
                    kill_point.reached("decided")
                    need_allowed(tx, ruling, asked)
                    if key is not None and (before := key.find(tx)) is not None:
                        return before, ruling
                    answer = work(tx, ruling)
                    if key is not None:
                        key.keep(tx, answer)
                    return answer, ruling
            except Problem as problem:
                if ruling is None or asked is None:
                    raise
                row = self.row(ruling, asked, problem)
                store.record([row])
                if "decision" not in problem.more and problem.status == HTTPStatus.FORBIDDEN:
                    problem.more["decision"] = {
                        **view(ruling),
                        "allowed": False,
                        "reason": row.reason,
                        "sentence": row.sentence,
                        "assignment": None,
                    }
                return problem, ruling

        answer, ruling = await self.house.pools.writes.run(run)
        kill_point.reached("before-answer")
        if ruling is not None:
            self._note(ruling)
        if isinstance(answer, Problem):
            raise answer
        return answer

    async def alone(self, actor: Actor, work: Callable[[Write], T]) -> T:
        """Do ``work`` for a road whose credential is the right: the hub's secret, the core's, an activation token."""
        return await self.house.change(actor, work)

    async def look(self, work: Callable[[Read], T]) -> T:
        """Read for such a road."""
        return await self.house.look(work)

    def judged(self, tx: Read) -> tuple[Ruling, Question]:
        """Decide what the route needs in somebody's transaction; `need_allowed` raises a denial."""
        question = self._needed(tx)
        return self.house.court.decide_in(tx, question), question

    def row(self, ruling: Ruling, question: Question, problem: Problem | None = None) -> AuditRow:
        """Return the row of a ruling, or of the refusal that followed it."""
        row = self.house.court.row(ruling, question)
        if problem is not None:
            return refused_row(row, ruling, self.route.name, problem)
        return replace(row, details={**row.details, "route": self.route.name})

    def _needed(self, tx: Read) -> Question:
        needs, session = self.route.needs, self.actor.session
        if needs.kind is Kind.OPERATION:
            wanted: str | None = gate.permission(tx, needs.name)
        elif needs.kind is Kind.HANDLER:
            wanted = gate.command_permission(tx, needs.name)
        else:
            wanted = None
        scope = None
        if needs.scope != SYSTEM:
            scope = self.members.get(needs.scope) or _member(self.query, needs.scope) or _member(self.body, needs.scope)
        permission = None if wanted is None else Permission.parse(wanted)
        return self.question(Request(permission, scope or SYSTEM, session))

    def _note(self, ruling: Ruling) -> None:
        self.decision = ruling.id
        self.house.metrics.decision(ruling.decision.allowed, str(ruling.decision.reason))


def _member(document: Any, name: str) -> str | None:
    value = getattr(document, name, None)
    return value if isinstance(value, str) else None


def need_allowed(tx: Read, ruling: Ruling, question: Question) -> None:
    if not ruling.decision.allowed:
        raise problem_in(tx, ruling, question)


def etag(version: int) -> str:
    return f'"{version}"'
