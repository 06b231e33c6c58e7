"""Leaving a project from the panel."""

from __future__ import annotations

import pytest

from aizen_hub.rbac.identity import Identity
from tests.service.conftest import Driver
from tests.service.panel.window import Window


async def test_a_member_leaves(window: Window, hub_service: Driver) -> None:
    token = await window.sign_in("eve")
    preview = (await window.get("me/leave/p1")).body.decode()
    assert "You lose" in preview
    assert "PROJECT_EXECUTOR" in preview
    with hub_service.context.store.read() as tx:
        assert tx.rights(Identity.user("eve")).held_roles, "the preview changes nothing"
    assert (await window.post("me/leave/p1", {"xsrf": token})).status == 303
    with hub_service.context.store.read() as tx:
        assert tx.rights(Identity.user("eve")).held_roles == ()


@pytest.mark.proves("R72")
async def test_an_invisible_project_is_as_one_that_does_not_exist(window: Window, hub_service: Driver) -> None:
    await window.sign_in("eve")
    for page in ("leave", "commands"):
        for name in ("p2", "px"):
            assert (await window.get(f"me/{page}/{name}")).status == 404
