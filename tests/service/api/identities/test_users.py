"""Changes of contact data and custom roles over HTTP: missing members keep their value, empty ones clear it."""

from __future__ import annotations

from aizen_hub.accounts import identities
from tests.service.conftest import Driver


async def test_one_alert_channel_changes_alone(service: Driver) -> None:
    rob = await service.open("rob")
    addresses = {"email": "rob@example.org", "phone": "+15550100"}
    assert (await service.call("PATCH", "/api/v1/users/rob", addresses, auth=rob.auth)).status == 200
    for change in ({"email": True, "phone": True}, {"email": False}, {}, {"phone": None}):
        response = await service.call("PATCH", "/api/v1/users/rob", {"alerts": change}, auth=rob.auth)
        assert response.status == 200, response.body
    with service.context.store.read() as tx:
        assert identities.get_user(tx, "rob").alerts == {"email": False, "phone": True}


async def test_a_role_can_lose_all_permissions_and_limits(service: Driver) -> None:
    boss = await service.open("boss", None)
    role = {"name": "AUDITOR", "permissions": ["read:audit"], "limits": {"jobs": 2}}
    assert (await service.call("POST", "/api/v1/roles", role, auth=boss.auth)).status == 201
    empty = {"permissions": [], "limits": {}}
    response = await service.call("PATCH", "/api/v1/roles/AUDITOR", empty, auth=boss.auth)
    assert response.status == 200, response.body
    with service.context.store.read() as tx:
        assert (tx.roles["AUDITOR"].permissions, dict(tx.roles["AUDITOR"].limits)) == (frozenset(), {})


async def test_a_dry_run_registers_no_user(service: Driver) -> None:
    boss = await service.open("boss", None)
    path = "/api/v1/users"
    response = await service.call("POST", path, {"name": "nora"}, auth=boss.auth, headers={"Prefer": "dry-run"})
    assert (response.status, response.headers["Preference-Applied"]) == (200, "dry-run")
    assert (await service.call("GET", f"{path}/nora", auth=boss.auth)).status == 404
    assert (await service.call("POST", path, {"name": "nora"}, auth=boss.auth)).status == 201
    assert (await service.call("GET", f"{path}/nora", auth=boss.auth)).json["data"]["id"] == "nora"
