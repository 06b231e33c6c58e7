"""Code in an admin's kernel cannot take over another account."""

from __future__ import annotations

from datetime import timedelta

import pytest

from aizen_hub.accounts import command_handlers
from aizen_hub.accounts.roles import assignments
from aizen_hub.accounts.users import registration
from aizen_hub.rbac.identity import Identity
from aizen_hub.service.factory import SERVICE_ACTOR
from aizen_hub.store import tables
from aizen_hub.store.actor import Actor, Channel
from tests.service.conftest import PASSWORD, Driver

NEW = "taken over, 7 words of it, by a program"


async def can_sign_in(service: Driver, name: str, password: str) -> bool:
    body = {"provider": "local", "name": name, "password": password}
    return bool((await service.hub("POST", "/login/password", body)).json["outcome"] == "verified")


@pytest.mark.proves("R66", "R77")
async def test_a_link_for_an_admin_needs_confirmation_in_the_panel(service: Driver) -> None:
    with service.context.store.write(SERVICE_ACTOR) as tx:
        registration.create_user(tx, "chief", password=PASSWORD)
        assignments.unauthorized_write_assignment(tx, "AIZEN_ADMIN", "system", Identity.user("chief"))
    boss = await service.open("boss", None)
    submitted = await service.call("POST", "/api/v1/users/chief/activation", auth=boss.auth)
    assert submitted.status == 202, submitted.body
    assert "activation" not in (submitted.json["data"] or {})
    change_id = submitted.json["data"]["pending"]
    assert (await service.call("POST", f"/api/v1/pending/{change_id}/confirm", {}, auth=boss.auth)).status >= 400
    own = await service.call("POST", "/api/v1/users/boss/activation", auth=boss.auth)
    assert (own.status, own.json["detail"]) == (403, "a link for your own account can be created in the panel only")
    with service.context.store.read() as tx:
        issued_by = tables.activations.c.issued_by
        assert tx.conn.execute(tables.activations.select().where(issued_by.is_not(None))).first() is None
        now = tx.now
    assert await can_sign_in(service, "chief", PASSWORD)
    fresh = Actor(Identity.user("boss"), Channel.PANEL, recent_login_until=now + timedelta(days=365))
    with service.context.store.write(fresh) as tx:
        (link,) = command_handlers.confirm_pending_change(tx, change_id).data["activations"]
    assert (await service.call("POST", "/api/v1/activate", {"token": link["token"], "password": NEW})).status == 204
    assert await can_sign_in(service, "chief", NEW)


async def test_other_users_get_a_link_in_one_step(service: Driver) -> None:
    boss = await service.open("boss", None)
    created = await service.call("POST", "/api/v1/users", {"name": "newcomer", "provider": "local"}, auth=boss.auth)
    assert created.status == 201, created.body
    renewed = await service.call("POST", "/api/v1/users/newcomer/activation", auth=boss.auth)
    assert renewed.status == 201, renewed.body
    token = renewed.json["data"]["activation"]["token"]
    first = {"token": created.json["activation"]["token"], "password": NEW}
    assert (await service.call("POST", "/api/v1/activate", first)).status == 401
    assert (await service.call("POST", "/api/v1/activate", {**first, "token": token})).status == 204
    assert await can_sign_in(service, "newcomer", NEW)


@pytest.mark.proves("R66", "R77", "T-04")
async def test_no_membership_of_an_admin_group_and_no_clone_of_its_role(service: Driver) -> None:
    boss = await service.open("boss", None)

    async def post(path: str, body: object, method: str = "POST") -> int:
        answer = await service.call(method, f"/api/v1/{path}", body, auth=boss.auth)
        return answer.status

    with service.context.store.write(SERVICE_ACTOR) as tx:
        tx.conn.execute(tables.groups.insert().values(name="admins", description=""))
        tx.record_change("group", {"group": "admins", "did": "create"}, ["group:admins"])
        assignments.unauthorized_write_assignment(tx, "AIZEN_ADMIN", "system", Identity.group("admins"))
    assert await post("groups/admins/members/user:nil", None, "PUT") == 202
    assert await post("roles/AIZEN_ADMIN/clone", {"name": "HELPER"}) == 201
    grant = {"roles": ["HELPER"], "scope": "system", "identity": "user:nil"}
    assert await post("assignments", grant) == 202
    with service.context.store.read() as view:
        assert not view.rights(Identity.user("nil")).held_roles
