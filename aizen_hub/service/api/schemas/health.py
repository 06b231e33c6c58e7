"""Health."""

from __future__ import annotations

from aizen_hub.service.http.schema import Open


class Health(Open):
    status: str
    instance: str
