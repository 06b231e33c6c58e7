"""The decisions of one authenticated request: what its route requires, and how a denial is answered."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Mapping
from dataclasses import replace
from typing import Any, TypeVar

from aizen_hub.authorization import checks
from aizen_hub.authorization.decisions.decision_service import DecisionRequest, RecordedDecision
from aizen_hub.authorization.decisions.evaluation import RequestedGrant
from aizen_hub.commands.command import Command
from aizen_hub.problems import Problem
from aizen_hub.rbac.decision import AuthorizationRequest
from aizen_hub.rbac.identity import Identity
from aizen_hub.rbac.permission import Permission
from aizen_hub.rbac.role import SYSTEM, project_of
from aizen_hub.service.auth.principal import Principal
from aizen_hub.service.context import ServiceContext
from aizen_hub.service.denials.denial_response import (
    decision_view,
    denial_problem_in,
    denied_record,
    may_see_scope,
    visible_decision_in,
)
from aizen_hub.service.denials.grant_denial import GRANT_HANDLERS, requested_grant
from aizen_hub.service.http.headers import Headers
from aizen_hub.service.http.route import RequirementKind, Route
from aizen_hub.store.actor import Actor
from aizen_hub.store.audit_log.record import AuditRecord
from aizen_hub.store.transaction import ReadTransaction

T = TypeVar("T")


class RequestDecisions:
    """One authenticated request, and the decisions that are made for it.

    Attributes
    ----------
    service : ServiceContext
    route : Route
    principal : Principal
    path_params : mapping of str to str
    body, query : Schema or None
        Validated by the schema that the route declares.
    headers : Headers
    decision_id : str or None
        Id of the decision that was made for this request, for logs.
    """

    def __init__(
        self,
        service: ServiceContext,
        route: Route,
        principal: Principal,
        path_params: Mapping[str, str],
        body: Any,
        query: Any,
        headers: Headers,
    ) -> None:
        self.service, self.route, self.principal = service, route, principal
        self.path_params, self.body, self.query, self.headers = path_params, body, query, headers
        self.decision_id: str | None = None

    @property
    def actor(self) -> Actor:
        assert self.principal.actor is not None, "a route that takes no credential has no actor"
        return self.principal.actor

    @property
    def identity(self) -> Identity:
        return self.actor.identity

    def decision_request(self, request: AuthorizationRequest, command: Command | None = None) -> DecisionRequest:
        """Return a decision request of this principal."""
        principal = self.principal
        return DecisionRequest(
            self.actor, request, command=command, token=principal.token, credential=principal.credential
        )

    async def decide(self, request: DecisionRequest) -> RecordedDecision:
        """Decide and record one request, in the next batch of the decision service."""
        started = time.perf_counter()
        tracing = self.service.tracing
        if tracing is None:
            recorded = await self.service.decisions.decide(request)
        else:
            with tracing.decision() as span:
                recorded = await self.service.decisions.decide(request)
                tracing.set_decision(span, recorded.id, allowed=recorded.decision.allowed)
        self.service.metrics.requests.observe_decision_seconds(time.perf_counter() - started)
        self._count(recorded)
        return recorded

    def decide_in(self, tx: ReadTransaction) -> tuple[RecordedDecision, DecisionRequest]:
        """Decide what the route requires in an open transaction; `require_allowed` raises a denial."""
        request = self._required_decision(tx)
        return self.service.decisions.decide_in_transaction(tx, request), request

    async def would_be_allowed(self) -> bool:
        """Whether the principal has what the route requires, for work that is worth doing only then; unrecorded."""
        decisions = self.service.decisions
        return await self.service.async_store.read(
            lambda tx: decisions.evaluate_unrecorded(tx, self._required_decision(tx)).allowed
        )

    async def visible_decision(self, recorded: RecordedDecision, request: DecisionRequest) -> dict[str, Any]:
        """Return a decision as its requester may see it."""
        if recorded.decision.allowed or recorded.code is not None:
            return decision_view(recorded)
        if may_see_scope(request) and requested_grant(request) is None:
            return decision_view(recorded)
        return await self.within_deadline(
            self.service.async_store.read(lambda tx: visible_decision_in(tx, recorded, request))
        )

    async def denial_problem(self, recorded: RecordedDecision, request: DecisionRequest) -> Problem:
        """Return the problem that a denied command is answered with."""
        return await self.within_deadline(
            self.service.async_store.read(lambda tx: denial_problem_in(tx, recorded, request))
        )

    def audit_record(
        self, recorded: RecordedDecision, request: DecisionRequest, problem: Problem | None = None
    ) -> AuditRecord:
        """Return the audit record of a decision, or of the refusal that followed it."""
        record = self.service.decisions.audit_record(recorded, request)
        if problem is not None:
            return denied_record(record, recorded, self.route.name, problem)
        return replace(record, details={**record.details, "route": self.route.name})

    def _required_decision(self, tx: ReadTransaction) -> DecisionRequest:
        requirement, session = self.route.requires, self.actor.session
        permission: str | None = None
        if requirement.kind is RequirementKind.ENDPOINT:
            permission = checks.endpoint_permission(tx, requirement.name)
        elif requirement.kind is RequirementKind.SAME_AS_COMMAND:
            permission = checks.command_permission(tx, requirement.name)
        scope = None
        if requirement.scope != SYSTEM:
            scope = (
                self.path_params.get(requirement.scope)
                or _string_member(self.query, requirement.scope)
                or _string_member(self.body, requirement.scope)
            )
        parsed = None if permission is None else Permission.parse(permission)
        request = self.decision_request(AuthorizationRequest(parsed, scope or SYSTEM, session))
        if requirement.name in GRANT_HANDLERS and requirement.kind is RequirementKind.SAME_AS_COMMAND:
            roles, identity = tuple(self.body.roles), Identity.parse(self.body.identity)
            grant = RequestedGrant(roles, project_of(scope), identity, revoke=GRANT_HANDLERS[requirement.name])
            return replace(request, grant=grant)
        return request

    async def within_deadline(self, awaitable: Awaitable[T]) -> T:
        """Await within the deadline of a request, for routes that keep it themselves (`Route.own_deadline`)."""
        async with asyncio.timeout(self.service.settings.service.deadline_seconds):
            return await awaitable

    def _count(self, recorded: RecordedDecision) -> None:
        self.decision_id = recorded.id
        self.service.metrics.requests.count_decision(recorded.decision.allowed, str(recorded.decision.reason))


def _string_member(document: Any, name: str) -> str | None:
    value = getattr(document, name, None)
    return value if isinstance(value, str) else None


def require_allowed(tx: ReadTransaction, recorded: RecordedDecision, request: DecisionRequest) -> None:
    """Raise the denial of a decision that was made in the same transaction.

    Raises
    ------
    Denied, NotFound, NotAuthenticated, ProjectRequired
    """
    if not recorded.decision.allowed:
        raise denial_problem_in(tx, recorded, request)
