"""The AuthZEN evaluations of one request, decided and recorded in a batch of the decision service."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from aizen_hub.authorization.decisions.batch_item import BatchView
from aizen_hub.authorization.decisions.decision_service import DecisionRequest, RecordedDecision
from aizen_hub.authorization.decisions.evaluation import decision_record, evaluate, is_fresh
from aizen_hub.authorization.queries.authzen import EvaluationRequest, Evaluator
from aizen_hub.problems import Problem
from aizen_hub.rbac.decision import Decision
from aizen_hub.service.denials.denial_response import denial_problem_in, denied_record, recorded_reason
from aizen_hub.store.audit_log.record import AuditRecord, new_record_id


class Evaluated(NamedTuple):
    """One evaluation as it is recorded; ``error`` where it was rejected and is answered as a denial."""

    record: AuditRecord
    error: Problem | None = None


@dataclass(frozen=True, slots=True)
class EvaluationOutcome:
    """What is answered: evaluations, or a problem instead, which is recorded as the only one.

    Attributes
    ----------
    revision_read_at : float
        When the revision was read, in seconds of `boottime`.
    """

    evaluations: Sequence[Evaluated]
    revision_read_at: float
    problem: Problem | None = None

    @property
    def is_fresh(self) -> bool:
        return is_fresh(self.revision_read_at)


class EvaluationItem:
    """The evaluations of one request, as an item of a batch.

    Parameters
    ----------
    requirement : DecisionRequest
        What the route requires of the service account; it is recorded where it is denied.
    requests : sequence of EvaluationRequest
    route : str
        Name of the route, for the records of refusals.
    stop_on : bool, optional
        Evaluations that follow a decision of this value are left out.
    alone : bool
        The only request is the whole request: where it is rejected, that is the answer.
    """

    def __init__(
        self,
        requirement: DecisionRequest,
        requests: Sequence[EvaluationRequest],
        route: str,
        *,
        stop_on: bool | None = None,
        alone: bool = False,
    ) -> None:
        self.size = len(requests)
        self._requirement, self._requests, self._route = requirement, requests, route
        self._stop_on, self._alone = stop_on, alone
        self._last_ids: list[str] = []
        self._superseded: list[str] = []

    def decide(self, view: BatchView) -> tuple[EvaluationOutcome, Sequence[AuditRecord]]:
        tx, requirement = view.tx, self._requirement
        decision = evaluate(requirement, tx.state, view.context, tx.rights, tx.catalog)
        if not decision.allowed:
            return self._refuse(view, decision, None)
        evaluator = Evaluator(tx, requirement.actor, view.context.project_exists)
        evaluations: list[Evaluated] = []
        for request in self._requests:
            try:
                evaluated = Evaluated(evaluator.evaluate(request))
            except Problem as problem:
                if self._alone:
                    return self._refuse(view, decision, problem)
                rejection = evaluator.rejection(request, recorded_reason(problem), problem.detail)
                evaluated = Evaluated(rejection, problem)
            evaluations.append(evaluated)
            if evaluated.record.allowed is self._stop_on:
                break
        records = [evaluated.record for evaluated in evaluations]
        return EvaluationOutcome(evaluations, view.revision_read_at), self._mark_superseded(records)

    def supersede(self) -> None:
        self._superseded = self._last_ids

    def _refuse(
        self, view: BatchView, decision: Decision, problem: Problem | None
    ) -> tuple[EvaluationOutcome, Sequence[AuditRecord]]:
        state, requirement = view.tx.state, self._requirement
        recorded = RecordedDecision(
            new_record_id(state.now), decision, state.revision, state.now, view.revision_read_at
        )
        if problem is None:
            problem = denial_problem_in(view.tx, recorded, requirement)
        record = decision_record(recorded.id, requirement, decision, state.revision, state.now, None, None)
        records = self._mark_superseded([denied_record(record, recorded, self._route, problem)])
        return EvaluationOutcome([Evaluated(records[0], problem)], view.revision_read_at, problem), records

    def _mark_superseded(self, records: list[AuditRecord]) -> list[AuditRecord]:
        self._last_ids = [record.id for record in records]
        for index, former_id in enumerate(self._superseded[: len(records)]):
            record = records[index]
            records[index] = replace(record, details={**record.details, "supersedes": former_id})
        return records
