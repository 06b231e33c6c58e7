from __future__ import annotations

from tests.accounts.conftest import peopled, template
from tests.deploy.sample_core.real_core import core, issuer, own_core, shared_core

__all__ = ["core", "issuer", "own_core", "peopled", "shared_core", "template"]
