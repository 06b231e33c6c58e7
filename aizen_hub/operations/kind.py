"""A kind of operation: the code that does its work, and what is done after an end before its time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from aizen_hub.operations.control import OperationControl


def _nothing(_: OperationControl) -> None:
    return None


@dataclass(frozen=True, slots=True)
class OperationKind:
    """A kind of operation. Its functions run in a thread and may block.

    Attributes
    ----------
    name : str
        Lower-case words, at most 40 characters; the API shows it.
    run : callable
        Does the work with an `OperationControl` and the arguments of this operation; returns the result as JSON. Its
        `Problem`s become the problem of the operation.
    discard : callable
        Removes what the operation staged, after a failure, a cancellation or the end of its process. May run several
        times.
    finalize : callable
        Completes an operation that took effect (`OperationControl.apply`) and whose process ended. May run several
        times.
    keeps_batches : bool
        Each batch is committed separately, so those that were made before an early end stay.
    """

    name: str
    run: Callable[[OperationControl, Any], Mapping[str, Any]]
    discard: Callable[[OperationControl], None] = _nothing
    finalize: Callable[[OperationControl], None] = _nothing
    keeps_batches: bool = False
