"""Schema of the health checks."""

from __future__ import annotations

from aizen_hub.api_models.schema import ResponseModel


class Health(ResponseModel):
    status: str
    instance: str
