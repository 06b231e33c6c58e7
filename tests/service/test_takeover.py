"""What runs in an admin's kernel takes over nobody's account."""

from __future__ import annotations

import pytest

from aizen_hub.accounts import command_handlers as carry_out
from aizen_hub.accounts.roles import assignments
from aizen_hub.accounts.users import users
from aizen_hub.rbac.identity import Identity
from aizen_hub.service.factory import OWN
from aizen_hub.store import tables
from aizen_hub.store.actor import Actor, Road
from tests.service.conftest import PASSWORD, Driver

NEW = "taken over, 7 words of it, by a program"


async def signs_in(service: Driver, name: str, password: str) -> bool:
    body = {"provider": "local", "name": name, "password": password}
    return bool((await service.hub("POST", "/login/password", body)).json["outcome"] == "verified")


@pytest.mark.proves("R66", "R77")
async def test_no_link_for_an_admin_without_a_person_in_the_panel(service: Driver) -> None:
    with service.house.store.write(OWN) as tx:
        users.create(tx, "chief", password=PASSWORD)
        assignments.put(tx, "AIZEN_ADMIN", "system", Identity.user("chief"))
    boss = await service.open("boss", None)
    held = await service.call("POST", "/api/v1/users/chief/activation", auth=boss.auth)
    assert held.status == 202, held.body
    assert "activation" not in (held.json["data"] or {})
    number = held.json["data"]["pending"]
    assert (await service.call("POST", f"/api/v1/pending/{number}/confirm", {}, auth=boss.auth)).status >= 400
    own = await service.call("POST", "/api/v1/users/boss/activation", auth=boss.auth)
    assert (own.status, own.json["detail"]) == (403, "a link for your own account is made in the panel only")
    with service.house.store.read() as tx:
        made = tables.activations.c.issued_by
        assert tx.conn.execute(tables.activations.select().where(made.is_not(None))).first() is None
        now = tx.now
    assert await signs_in(service, "chief", PASSWORD)
    fresh = Actor(Identity.user("boss"), Road.PANEL, fresh_until=now.replace(year=now.year + 1))
    with service.house.store.write(fresh) as tx:
        (link,) = carry_out.confirm(tx, number).data["activations"]
    assert (await service.call("POST", "/api/v1/activate", {"token": link["token"], "password": NEW})).status == 204
    assert await signs_in(service, "chief", NEW)


async def test_anybody_else_is_invited_and_helped_in_one_step(service: Driver) -> None:
    boss = await service.open("boss", None)
    made = await service.call("POST", "/api/v1/users", {"name": "newcomer", "provider": "local"}, auth=boss.auth)
    assert made.status == 201, made.body
    again = await service.call("POST", "/api/v1/users/newcomer/activation", auth=boss.auth)
    assert again.status == 201, again.body
    token = again.json["data"]["activation"]["token"]
    first = {"token": made.json["activation"]["token"], "password": NEW}
    assert (await service.call("POST", "/api/v1/activate", first)).status == 401
    assert (await service.call("POST", "/api/v1/activate", {**first, "token": token})).status == 204
    assert await signs_in(service, "newcomer", NEW)


@pytest.mark.proves("R66", "R77", "T-04")
async def test_no_membership_of_an_admins_group_and_no_clone_of_their_role(service: Driver) -> None:
    boss = await service.open("boss", None)

    async def post(path: str, body: object, method: str = "POST") -> int:
        answer = await service.call(method, f"/api/v1/{path}", body, auth=boss.auth)
        return answer.status

    with service.house.store.write(OWN) as tx:
        tx.conn.execute(tables.groups.insert().values(name="admins", description=""))
        tx.change("group", {"group": "admins", "did": "create"}, ["group:admins"])
        assignments.put(tx, "AIZEN_ADMIN", "system", Identity.group("admins"))
    assert await post("groups/admins/members/user:nil", None, "PUT") == 202
    assert await post("roles/AIZEN_ADMIN/clone", {"name": "HELPER"}) == 201
    grant = {"roles": ["HELPER"], "scope": "system", "identity": "user:nil"}
    assert await post("assignments", grant) == 202
    with service.house.store.read() as view:
        assert not view.rights(Identity.user("nil")).held
