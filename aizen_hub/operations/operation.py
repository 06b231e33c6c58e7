"""One operation: what it is, how far it is, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Self

from aizen_hub.commands.result import to_json_value
from aizen_hub.problems import Problem
from aizen_hub.rbac.identity import Identity
from aizen_hub.store.actor import Actor, Channel


class OperationState(StrEnum):
    """The state of an operation."""

    WAITING = "waiting"  # for a thread
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    INTERRUPTED = "interrupted"  # its process ended before it did

    @property
    def has_ended(self) -> bool:
        return self not in (OperationState.WAITING, OperationState.RUNNING)


class Effect(StrEnum):
    """What became of the rows that an operation staged."""

    NONE = "none"
    STAGED = "staged"  # there are, or may be, rows without effect
    APPLIED = "applied"  # in effect; the rows are still being rewritten as ordinary ones
    FINALIZED = "finalized"


@dataclass(frozen=True, slots=True)
class Progress:
    """How far an operation is.

    Attributes
    ----------
    phase : str
        What it does at present, as words for people.
    done, total : int
        Of the phase; a total of 0 is not known.
    """

    phase: str = ""
    done: int = 0
    total: int = 0

    def to_json(self) -> dict[str, Any]:
        return {"phase": self.phase, "done": self.done, "total": self.total}


@dataclass(frozen=True, slots=True)
class Operation:
    """An operation as the store holds it.

    Attributes
    ----------
    id : str
        128 random bits.
    kind : str
        Name of the `OperationKind` that runs it.
    owner : str
        The process that runs it.
    cancelled_by : Identity or None
        Who asked for its end; it ends at the next step.
    result : mapping or None
        JSON; from the moment on at which the operation takes effect.
    problem : mapping or None
        The problem document of one that did not succeed.
    """

    id: str
    kind: str
    requested_by: Identity
    channel: Channel
    source: str | None
    requested: datetime
    state: OperationState
    effect: Effect
    owner: str
    cancelled_by: Identity | None
    progress: Progress
    result: Mapping[str, Any] | None
    problem: Mapping[str, Any] | None
    ended: datetime | None

    @classmethod
    def from_row(cls, row: Any) -> Self:
        return cls(
            row.id,
            row.kind,
            Identity.parse(row.requested_by),
            Channel(row.channel),
            row.source,
            row.requested,
            OperationState(row.state),
            Effect(row.effect),
            row.owner,
            None if row.cancelled_by is None else Identity.parse(row.cancelled_by),
            Progress(**row.progress),
            row.result,
            row.problem,
            row.ended,
        )

    @property
    def actor(self) -> Actor:
        """Who requested it, for what is left to do after the process that knew the whole request has ended."""
        return Actor(self.requested_by, self.channel, source=self.source)

    def to_json(self) -> dict[str, Any]:
        """Return the operation as the API shows it."""
        document: dict[str, Any] = to_json_value(
            {
                "id": self.id,
                "kind": self.kind,
                "state": self.state,
                "requested_by": self.requested_by,
                "requested": self.requested,
                "cancelled_by": self.cancelled_by,
                "progress": self.progress.to_json(),
                "ended": self.ended,
            }
        )
        succeeded = self.state is OperationState.SUCCEEDED
        return {**document, "result": self.result if succeeded else None, "problem": self.problem}


CANCELLED = "the operation was cancelled, and nothing was changed"


class OperationCancelled(Problem):
    """A user ended the operation before it took effect; nothing has changed."""

    slug, title, status = "operation-cancelled", "The operation was cancelled", 409


class OperationInterrupted(Problem):
    """The process of the operation ends, or another process has taken over; nothing has changed."""

    slug, title, status = "operation-interrupted", "The operation was interrupted", 503
