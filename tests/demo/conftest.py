from __future__ import annotations

from tests.cli.conftest import write_lock_probe

__all__ = ["write_lock_probe"]
