"""The shape of every error (RFC 9457)."""

from __future__ import annotations

from aizen_hub.service.http.schema import Open


class FaultView(Open):
    pointer: str
    detail: str
    allowed: list[str] | None = None


class ProblemDocument(Open):
    type: str
    title: str
    status: int
    detail: str
    remedy: str | None = None
    errors: list[FaultView] | None = None
