"""What a batch of decisions consists of: items, each decided and recorded as a whole."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from aizen_hub.authorization.decisions.decision_context import DecisionContext
from aizen_hub.authorization.decisions.evaluation import DecisionRequest, RecordedDecision, decision_record, evaluate
from aizen_hub.store.audit_log.record import AuditRecord, new_record_id
from aizen_hub.store.transaction import ReadTransaction


@dataclass(frozen=True, slots=True)
class BatchView:
    """The state of the store that one batch is decided on.

    Attributes
    ----------
    tx : ReadTransaction
        For rights, and for what only refusals need.
    context : DecisionContext
        Sessions, projects, keys and credentials, cached while the revision does not change.
    revision_read_at : float
        When the revision was read, in seconds of `boottime`.
    """

    tx: ReadTransaction
    context: DecisionContext
    revision_read_at: float


class Outcome(Protocol):
    """The result of an item."""

    @property
    def is_fresh(self) -> bool:
        """Whether it is young enough to be used."""
        ...


O_co = TypeVar("O_co", bound=Outcome, covariant=True)


class BatchItem(Protocol[O_co]):
    """One or more requests that are decided in one batch and answered together.

    Attributes
    ----------
    size : int
        Number of decisions at most: a batch is full by these, since others wait for it.
    """

    size: int

    def decide(self, view: BatchView) -> tuple[O_co, Sequence[AuditRecord]]:
        """Return the outcome, and the audit records that are committed before it is used."""
        ...

    def supersede(self) -> None:
        """Note that the recorded outcome was outdated: the records of the next one name those they supersede."""
        ...


class DecisionItem:
    """One decision request.

    Parameters
    ----------
    request : DecisionRequest
    text : str or None
        Its command without secrets.
    """

    __slots__ = ("_last_id", "_supersedes", "request", "text")

    size = 1

    def __init__(self, request: DecisionRequest, text: str | None = None) -> None:
        self.request, self.text = request, text
        self._last_id: str | None = None
        self._supersedes: str | None = None

    def decide(self, view: BatchView) -> tuple[RecordedDecision, Sequence[AuditRecord]]:
        tx, request = view.tx, self.request
        state = tx.state
        decision = evaluate(request, state, view.context, tx.rights, tx.catalog)
        decision_id = self._last_id = new_record_id(state.now)
        record = decision_record(decision_id, request, decision, state.revision, state.now, self.text, self._supersedes)
        return RecordedDecision(decision_id, decision, state.revision, state.now, view.revision_read_at), (record,)

    def supersede(self) -> None:
        self._supersedes = self._last_id
