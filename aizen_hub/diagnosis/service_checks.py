"""The checks that a running service makes of itself, for the page *System*."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from aizen_hub.diagnosis import accounts, configuration
from aizen_hub.diagnosis.check_result import CheckResult
from aizen_hub.diagnosis.check_runner import Check, run_each
from aizen_hub.diagnosis.installation import Installation

if TYPE_CHECKING:
    from aizen_hub.settings import Settings
    from aizen_hub.store.sql_store import Store

SETTINGS_CHECKS = (
    Check("settings that disable a protection", configuration.check_risky_settings),
    Check("settings that do not fit together", configuration.check_conflicts),
)
"""With the `Installation`."""
STORE_CHECKS = (
    Check("the administrators", accounts.check_administrators),
    Check("the credentials of service accounts", accounts.check_credentials),
    Check("the providers of the users", accounts.check_providers),
)
"""With the `Store` and the `Installation`."""
_CONFIG, _HUB_CONFIG = Path("aizen.yaml"), Path("jupyterhub_config.py")


def unauthorized_check_service(settings: Settings, store: Store) -> tuple[CheckResult, ...]:
    """Return what is wrong or unusual, errors first; the checks that pass are left out."""
    installation = Installation(_CONFIG, settings, _HUB_CONFIG)
    results = [*run_each(SETTINGS_CHECKS, installation), *run_each(STORE_CHECKS, store, installation)]
    return tuple(sorted((each for each in results if each.level != "ok"), key=lambda each: each.level != "fail"))
