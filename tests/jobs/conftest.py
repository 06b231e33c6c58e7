from __future__ import annotations

from tests.accounts.conftest import populated_folder, sandbox, shared_harness, template_folder
from tests.deploy.sample_core.real_core import core, issuer, own_core, shared_core

__all__ = [
    "core",
    "issuer",
    "own_core",
    "populated_folder",
    "sandbox",
    "shared_core",
    "shared_harness",
    "template_folder",
]
