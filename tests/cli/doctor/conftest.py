from __future__ import annotations

from tests.service.conftest import options, service

__all__ = ["options", "service"]
