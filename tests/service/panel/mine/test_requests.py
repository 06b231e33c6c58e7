"""Page *My requests*: one's own requests with their state."""

from __future__ import annotations

import re

from tests.service.conftest import Driver
from tests.service.panel.window import Window


async def test_a_request_is_listed_and_withdrawn(window: Window, hub_service: Driver) -> None:
    token = await window.sign_in("nil")
    assert b"No request yet" in (await window.get("me/requests")).body
    form = {"xsrf": token, "project": "p1", "role": "PROJECT_READER", "because": "to read", "until": "7d"}
    assert (await window.post("me/ask", form)).status == 303
    page = (await window.get("me/requests")).body.decode()
    assert "Waiting" in page
    (request,) = re.findall(r'name="request" value="([0-9a-f]{32})"', page)
    assert (await window.post("me/withdraw", {"xsrf": token, "request": request})).status == 303
    page = (await window.get("me/requests")).body.decode()
    assert "Withdrawn" in page
    assert "Waiting" not in page


async def test_requests_of_others_are_not_listed(window: Window, hub_service: Driver) -> None:
    token = await window.sign_in("nil")
    form = {"xsrf": token, "project": "p1", "role": "PROJECT_READER", "until": "7d"}
    assert (await window.post("me/ask", form)).status == 303
    window.cookies.clear()
    await window.sign_in("ada")
    assert b"No request yet" in (await window.get("me/requests")).body
