"""A change that a second user has to confirm, in the panel: who sees it, and what its requester is told."""

from __future__ import annotations

import re

import pytest

from aizen_hub.tokens.opaque_token import hash_credential
from tests.service.conftest import Driver
from tests.service.panel.window import FakeHub, Window

ROBOT = "service-account:nightly"


async def sign_in(hub_service: Driver, hub: FakeHub, name: str) -> tuple[Window, str]:
    """Return a browser of a user who has just signed in, and its XSRF token."""
    window = Window(hub_service, hub)
    token = await window.sign_in(name)
    recent = {"user": name, "provider": "local", "subject": name, "session": hash_credential(f"session-of-{name}")}
    assert (await hub_service.hub("POST", "/login/recent", recent)).status == 200
    return window, token


@pytest.mark.proves("R66", "R68", "R144")
async def test_a_second_user_confirms_the_role_of_a_service_account(hub_service: Driver, hub: FakeHub) -> None:
    boss, token = await sign_in(hub_service, hub, "boss")
    headers = {"X-XSRF-Token": token}
    created = await boss.api("POST", "/service-accounts", {"name": "nightly"}, **headers)
    assert created.status == 201, created.body
    grant = {"roles": ["PROJECT_EXECUTOR"], "scope": "p1", "identity": ROBOT}
    response = await boss.api("POST", "/assignments", grant, **headers)
    assert response.status == 202, response.body
    assert "second user" in response.json["message"]
    change = f"changes/{response.json['data']['pending']}"
    page = (await boss.get(change)).body.decode()
    assert "a second user who may grant it has to confirm it" in page
    assert 'id="aizen-confirm"' not in page

    for name in ("eve", "zoe"):
        other, _ = await sign_in(hub_service, hub, name)
        assert (await other.get(change)).status == 404
        assert b"nightly" not in (await other.get("requests")).body

    ada, token = await sign_in(hub_service, hub, "ada")
    assert b"nightly" in (await ada.get("requests")).body
    page = (await ada.get(change)).body.decode()
    assert re.search(r'id="aizen-confirm"', page), page
    assert (await ada.post(f"{change}/confirm", {"xsrf": token})).status == 200
    roles = await boss.api("GET", f"/assignments?identity={ROBOT}", **headers)
    assert "PROJECT_EXECUTOR" in roles.body.decode()
