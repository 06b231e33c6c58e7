"""Page *What I may do*: the answers are those of the decision engine."""

from __future__ import annotations

import re

from tests.service.conftest import Driver
from tests.service.panel.window import Window


async def test_commands_by_object(window: Window, hub_service: Driver) -> None:
    await window.sign_in("rob")
    page = (await window.get("me/commands/p1")).body.decode()
    (allowed, total) = map(int, re.search(r"(\d+) of (\d+) commands", page).groups())  # type: ignore[union-attr]
    assert 0 < allowed < total
    assert "<code>list training</code>" in page or "<code>list" in page
    refused = re.findall(r'href="[^"]*/why\?([^"]*)"', page)
    assert len(refused) == total - allowed
    assert all("who=rob" in link and "in=p1" in link for link in refused)


async def test_the_system_for_who_has_no_role_there(window: Window, hub_service: Driver) -> None:
    await window.sign_in("nil")
    page = (await window.get("me/commands/system")).body.decode()
    assert re.search(r"\b0 of \d+ commands", page)
