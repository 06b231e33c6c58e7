from __future__ import annotations

from tests.deploy.sample_core.real_core import core, issuer, own_core, shared_core

__all__ = ["core", "issuer", "own_core", "shared_core"]
