"""The context of one authenticated request, as route handlers receive it: authorized access to the store."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any, Generic, NamedTuple, TypeVar

from aizen_hub.authorization.decisions.decision_service import DecisionRequest, RecordedDecision
from aizen_hub.problems import Problem
from aizen_hub.service.denials.denial_response import decision_view
from aizen_hub.service.http.idempotency import IdempotencyKey
from aizen_hub.service.http.route import JsonResponse, RequirementKind
from aizen_hub.service.pipeline.request_decisions import RequestDecisions, require_allowed
from aizen_hub.service.runtime.thread_pools import Pool
from aizen_hub.store.actor import Actor
from aizen_hub.store.audit_log.record import AuditRecord
from aizen_hub.store.failpoints import failpoint
from aizen_hub.store.transaction import ActorTransaction, ReadTransaction, WriteTransaction, make_audit_record

T = TypeVar("T")
_ATTEMPTS = 3


class UnauthorizedAccessError(RuntimeError):
    """A route that must be authorized touched the store without a check: a bug, refused before anything is read."""


class AuthorizedResult(NamedTuple, Generic[T]):
    """The result of a read, with the decision that was made on the same snapshot."""

    recorded: RecordedDecision
    request: DecisionRequest
    result: T | Problem


class RequestContext(RequestDecisions):
    """One authenticated request, as the handler of a route receives it.

    Handlers use `decide`, `authorized_read` and `authorized_write`. The two methods whose names begin with
    ``unauthorized_`` check nothing: they are refused on every route that requires more than its credential.
    """

    def idempotency_key(self) -> IdempotencyKey | None:
        """Return the key of this request; None where none was sent, or where the route takes none.

        Raises
        ------
        BadInput
        """
        return IdempotencyKey.of_request(self.route, self.headers, self.identity, self.path_params, self.body)

    # -- authorized access -------------------------------------------------------------------------------------------

    async def authorized_read(
        self,
        operation: Callable[[ActorTransaction], T],
        *,
        audit_details: Callable[[T], Mapping[str, Any] | None] | None = None,
        event: str = "access.read",
        pool: Pool | None = None,
    ) -> T:
        """Decide what the route requires, and run ``operation`` on the same snapshot of the store.

        What every user may read about themselves is not recorded; what requires a permission is.

        Parameters
        ----------
        audit_details : callable, optional
            What to record of a query about other users; receives the result of ``operation``, and returns None if
            nothing is to be recorded.
        event : str
            The audit event of that record.
        pool : Pool, optional
            Where it runs; by default with the short reads.

        Raises
        ------
        Denied, NotFound, NotAuthenticated
            Recorded.
        """

        store, route = self.service.store, self.route

        def run() -> AuthorizedResult[T]:
            recorded, request, result = authorized = self._read_and_decide(operation)
            if isinstance(result, Problem):
                record = self.audit_record(recorded, request, result)
                store.append_audit([record])
                _attach_decision(result, recorded, record)
                return authorized
            records = [self.audit_record(recorded, request)] if route.requires.name else []
            details = None if audit_details is None else audit_details(result)
            if details is not None:
                records.append(make_audit_record(self.actor, event, recorded.at, **details))
            if records:
                store.append_audit(records)
            return authorized

        recorded, _, result = await (pool or self.service.pools.reads).run(run)
        self._count(recorded)
        if isinstance(result, Problem):
            raise result
        return result

    async def authorized_write(
        self,
        operation: Callable[[WriteTransaction, RecordedDecision], JsonResponse],
        request: DecisionRequest | None = None,
    ) -> JsonResponse:
        """Decide, and run ``operation`` or return the stored response, all in one transaction (R81, R93, R103).

        Parameters
        ----------
        request : DecisionRequest, optional
            What to decide; by default what the route requires.

        Raises
        ------
        Problem
            Of ``operation``, or a denial: nothing is changed, and the refusal is recorded on its own.
        """
        store, decisions = self.service.store, self.service.decisions
        key = self.idempotency_key()

        def run() -> tuple[JsonResponse | Problem, RecordedDecision | None]:
            recorded: RecordedDecision | None = None
            decided = request
            try:
                with store.write(self.actor) as tx:
                    decided = decided or self._required_decision(tx)
                    recorded = decisions.decide_in_transaction(tx, decided)
                    failpoint("decided")
                    require_allowed(tx, recorded, decided)
                    if key is not None and (stored := key.stored_response(tx)) is not None:
                        return stored, recorded
                    response = operation(tx, recorded)
                    if key is not None:
                        key.store_response(tx, response)
                    return response, recorded
            except Problem as problem:
                if recorded is None or decided is None:
                    raise
                record = self.audit_record(recorded, decided, problem)
                store.append_audit([record])
                _attach_decision(problem, recorded, record)
                return problem, recorded

        response, recorded = await self.service.pools.writes.run(run)
        failpoint("before-answer")
        if recorded is not None:
            self._count(recorded)
        if isinstance(response, Problem):
            raise response
        return response

    async def stored_response(self) -> JsonResponse | None:
        """Return the response to an earlier request of this identity with the same key, route and content."""
        key = self.idempotency_key()
        return None if key is None else await self.service.async_store.read(key.stored_response)

    # -- access without an authorization check -----------------------------------------------------------------------

    async def unauthorized_write(self, actor: Actor, operation: Callable[[WriteTransaction], T]) -> T:
        """Run ``operation`` without an authorization check, for a route whose credential is the whole right.

        That is the hub's secret, the core's credential, or a secret in the request itself, such as an activation link.

        Raises
        ------
        UnauthorizedAccessError
            The route requires more than its credential.
        """
        self._require_credential_suffices()
        return await self.service.async_store.write(actor, operation)

    async def unauthorized_read(self, operation: Callable[[ReadTransaction], T]) -> T:
        """Read without an authorization check, for a route whose credential is the whole right.

        Raises
        ------
        UnauthorizedAccessError
            The route requires more than its credential.
        """
        self._require_credential_suffices()
        return await self.service.async_store.read(operation)

    def _require_credential_suffices(self) -> None:
        if self.route.requires.kind is not RequirementKind.CREDENTIAL_SUFFICES:
            raise UnauthorizedAccessError(f"{self.route.name} requires more than its credential")

    def _read_and_decide(self, operation: Callable[[ActorTransaction], T]) -> AuthorizedResult[T]:
        with self.service.store.read_as(self.actor) as tx:
            recorded, request = self.decide_in(tx)
            try:
                require_allowed(tx, recorded, request)
                return AuthorizedResult(recorded, request, operation(tx))
            except Problem as problem:
                return AuthorizedResult(recorded, request, problem)


def _attach_decision(problem: Problem, recorded: RecordedDecision, record: AuditRecord) -> None:
    """Add the decision to a denial, as it is recorded: its id is what *why* is asked about."""
    if "decision" not in problem.extensions and problem.status == HTTPStatus.FORBIDDEN:
        problem.extensions["decision"] = {
            **decision_view(recorded),
            "allowed": False,
            "reason": record.reason,
            "sentence": record.sentence,
            "assignment": None,
            "role": None,
        }
