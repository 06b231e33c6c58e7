"""Contact data and custom roles over HTTP: what is not named stays, and what is emptied is empty."""

from __future__ import annotations

from aizen_hub.accounts.users import users
from tests.service.conftest import Driver


async def test_one_way_of_alerts_changes_alone(service: Driver) -> None:
    rob = await service.open("rob")
    for change in ({"email": True, "phone": True}, {"email": False}, {}, {"phone": None}):
        answer = await service.call("PATCH", "/api/v1/users/rob", {"alerts": change}, auth=rob.auth)
        assert answer.status == 200, answer.body
    with service.house.store.read() as tx:
        assert users.row_of(tx, "rob").alerts == {"email": False, "phone": True}


async def test_a_role_can_be_emptied(service: Driver) -> None:
    boss = await service.open("boss", None)
    role = {"name": "AUDITOR", "permissions": ["read:audit"], "limits": {"jobs": 2}}
    assert (await service.call("POST", "/api/v1/roles", role, auth=boss.auth)).status == 201
    empty = {"permissions": [], "limits": {}}
    answer = await service.call("PATCH", "/api/v1/roles/AUDITOR", empty, auth=boss.auth)
    assert answer.status == 200, answer.body
    with service.house.store.read() as tx:
        assert (tx.roles["AUDITOR"].permissions, dict(tx.roles["AUDITOR"].limits)) == (frozenset(), {})
