"""System users file: alerts need an address, and the result names the alerts that changed."""

from __future__ import annotations

import json
from typing import Any

import pytest

from aizen_hub.accounts import identities
from aizen_hub.accounts.users import profiles, registration
from aizen_hub.problems import BadInput
from tests.accounts.harness import AccountsHarness


def apply(sandbox: AccountsHarness, command: str, entries: list[dict[str, Any]]) -> Any:
    return sandbox.run_command("admin", f"{command} u.json", files={"u.json": json.dumps(entries)})


def alerts_of(sandbox: AccountsHarness, name: str) -> dict[str, bool]:
    with sandbox.read() as tx:
        alerts: dict[str, bool] = identities.get_user(tx, name).alerts
    return alerts


ROWS = [
    ({"alerts": {"email": True}}, ["/0/alerts/email"]),
    ({"alerts": {"email": True}, "phone": "+15550100"}, ["/0/alerts/email"]),
    ({"alerts": {"email": True, "phone": True}, "email": "a@example.org"}, ["/0/alerts/phone"]),
    ({"alerts": ["phone"], "email": "a@example.org"}, ["/0/alerts"]),
    ({"alerts": {"email": True, "phone": True}}, ["/0/alerts/email", "/0/alerts/phone"]),
]


@pytest.mark.parametrize(("row", "pointers"), ROWS, ids=[json.dumps(row) for row, _ in ROWS])
@pytest.mark.parametrize(("command", "name"), [("add users", "ann"), ("alter users", "tim")])
def test_alerts_without_an_address_are_refused(
    sandbox: AccountsHarness, command: str, name: str, row: dict[str, Any], pointers: list[str]
) -> None:
    before = sandbox.state()
    with pytest.raises(BadInput) as caught:
        apply(sandbox, command, [{"id": name, **row}, {"id": "a b"}])
    assert [fault.pointer for fault in caught.value.faults] == ["/1/id", *pointers], "with all other faults"
    assert "none is registered" in caught.value.faults[-1].detail
    assert sandbox.state() == before


def test_an_address_that_is_registered_is_enough(sandbox: AccountsHarness) -> None:
    apply(sandbox, "alter users", [{"id": "tim", "email": "tim@example.org"}])
    apply(sandbox, "alter users", [{"id": "tim", "alerts": {"email": True}}])
    assert alerts_of(sandbox, "tim") == {"email": True, "phone": False}


@pytest.mark.parametrize("alerts", [[], {}])
def test_empty_alerts_mean_none(sandbox: AccountsHarness, alerts: object) -> None:
    apply(sandbox, "alter users", [{"id": "tim", "email": "tim@example.org", "alerts": ["email"]}])
    assert alerts_of(sandbox, "tim") == {"email": True, "phone": False}
    result = apply(sandbox, "alter users", [{"id": "tim", "alerts": alerts}])
    assert alerts_of(sandbox, "tim") == {"email": False, "phone": False}
    assert result.message == "changed 1 user: 0 roles granted, 0 revoked; alerts: `tim` none"


def test_the_result_names_the_alerts_that_changed(sandbox: AccountsHarness) -> None:
    rows = [
        {"id": "tim", "email": "tim@example.org", "phone": "+1555", "alerts": {"email": True, "phone": True}},
        {"id": "zoe", "alerts": []},
    ]
    result = apply(sandbox, "alter users", rows)
    assert result.message == "changed 2 users: 0 roles granted, 0 revoked; alerts: `tim` by email and phone"
    assert result.data["alerts"] == {"tim": {"email": True, "phone": True}}
    assert "alerts" not in apply(sandbox, "alter users", rows).message


def test_no_other_way_leaves_alerts_without_an_address(sandbox: AccountsHarness) -> None:
    with pytest.raises(BadInput):
        sandbox.execute("tim", profiles.update_user, "tim", alerts={"email": True})
    with pytest.raises(BadInput):
        sandbox.execute("admin", registration.create_user, "ann", alerts={"phone": True})
    sandbox.execute("tim", profiles.update_user, "tim", email="tim@example.org", alerts={"email": True})
    with pytest.raises(BadInput) as caught:
        sandbox.execute("tim", profiles.update_user, "tim", email="")
    assert caught.value.remedy == "register the address in the same change, or turn these alerts off"
    sandbox.execute("tim", profiles.update_user, "tim", email="", alerts={"email": False})
