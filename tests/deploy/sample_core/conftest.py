from __future__ import annotations

from tests.deploy.sample_core.real_core import core, issuer

__all__ = ["core", "issuer"]
