from __future__ import annotations

from tests.cli.conftest import hashed_beside

__all__ = ["hashed_beside"]
