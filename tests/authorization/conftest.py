from __future__ import annotations

from tests.accounts.conftest import harness, make_harness, populated_folder, sandbox, shared_harness, template_folder

__all__ = ["harness", "make_harness", "populated_folder", "sandbox", "shared_harness", "template_folder"]
