"""Schemas of operations: work that takes longer than a request."""

from __future__ import annotations

from typing import Any, Literal

from aizen_hub.api_models.schema import ResponseModel

State = Literal["waiting", "running", "succeeded", "failed", "cancelled", "interrupted"]


class ProgressView(ResponseModel):
    phase: str
    done: int
    total: int


class OperationView(ResponseModel):
    """As `aizen_hub.operations.operation.Operation`; ``result`` and ``problem`` once it has ended."""

    id: str
    kind: str
    state: State
    requested_by: str
    requested: str
    cancelled_by: str | None
    progress: ProgressView
    ended: str | None
    result: dict[str, Any] | None
    problem: dict[str, Any] | None


class OperationList(ResponseModel):
    operations: list[OperationView]
