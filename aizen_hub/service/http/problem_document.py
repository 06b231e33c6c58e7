"""The schema of problem documents (RFC 9457)."""

from __future__ import annotations

from aizen_hub.api_models.schema import ResponseModel


class FaultView(ResponseModel):
    pointer: str
    detail: str
    allowed: list[str] | None = None


class ProblemDocument(ResponseModel):
    type: str
    title: str
    status: int
    detail: str
    remedy: str | None = None
    errors: list[FaultView] | None = None
