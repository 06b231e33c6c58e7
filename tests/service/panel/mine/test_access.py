"""Page *My access*: what the viewer has, and why."""

from __future__ import annotations

from tests.service.conftest import Driver
from tests.service.panel.window import Window


async def test_each_role_tells_its_source(window: Window, hub_service: Driver) -> None:
    await window.sign_in("eve")
    page = (await window.get("me")).body.decode()
    assert "You have 1 role in 1 project." in page
    assert "PROJECT_EXECUTOR" in page
    assert "me/commands/p1" in page
    assert "me/leave/p1" in page
