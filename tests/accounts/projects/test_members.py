"""Members of a project as a file: the result names what changed."""

from __future__ import annotations

import json
from typing import Any

from aizen_hub.accounts.users import profiles
from tests.accounts.harness import AccountsHarness


def alter(sandbox: AccountsHarness, alerts: dict[str, list[str]]) -> Any:
    roles = {"paul": "PROJECT_ADMIN", "emma": "PROJECT_EXECUTOR", "rita": "PROJECT_READER"}
    members = [{"id": name, "roles": [role], "alerts": alerts.get(name, [])} for name, role in roles.items()]
    return sandbox.run_command("paul", "alter project p1,config=m", files={"m": json.dumps(members)})


def test_the_result_names_the_alerts_that_changed(sandbox: AccountsHarness) -> None:
    for name in ("emma", "rita"):
        sandbox.execute(name, profiles.update_user, name, email=f"{name}@example.org")
    result = alter(sandbox, {"emma": ["training", "access"], "rita": ["runtime"]})
    assert result.message == (
        "`p1`: 0 roles granted, 0 revoked; alerts added for `emma` (access, training), `rita` (runtime)"
    )
    assert result.data["alerts"] == {
        "added": [["emma", "access"], ["emma", "training"], ["rita", "runtime"]],
        "removed": [],
    }
    result = alter(sandbox, {"emma": ["training"]})
    assert result.message == ("`p1`: 0 roles granted, 0 revoked; alerts removed for `emma` (access), `rita` (runtime)")
    assert "alerts" not in alter(sandbox, {"emma": ["training"]}).message


def test_the_result_says_whom_no_alert_can_reach(sandbox: AccountsHarness) -> None:
    result = alter(sandbox, {"emma": ["training"]})
    assert result.message.endswith("no alert can reach `emma`: no e-mail address or phone number is registered")
