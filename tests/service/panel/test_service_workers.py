"""Requests that a service worker of a user server preloads are refused at every address of the panel."""

from __future__ import annotations

import pytest

from aizen_hub.service.routes import routes
from tests.service.panel.window import Window

MARK = "Service-Worker-Navigation-Preload"


@pytest.mark.proves("R137", "T-57")
@pytest.mark.parametrize("value", ["true", "", "x"])
async def test_no_page_is_preloaded(window: Window, value: str) -> None:
    await window.sign_in("boss")
    navigation = {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
    for route in routes():
        if route.browser_page and route.method == "GET":
            page = route.path.removeprefix("/").replace("{change}", "0" * 32).replace("{file}", "hub.css")
            answer = await window.get(page, **navigation, **{MARK: value})
            assert answer.status == 403, route.path
            assert b'name="xsrf"' not in answer.body
            if answer.headers["Content-Type"].startswith("text/html"):
                assert answer.headers["Clear-Site-Data"] == '"storage"', "the browser removes the worker"
    assert (await window.get("me", **navigation)).status == 200
    assert "Clear-Site-Data" not in (await window.get("me", **navigation)).headers


@pytest.mark.proves("R137", "T-57")
async def test_no_form_and_no_api_is_used_by_a_worker(window: Window) -> None:
    token = await window.sign_in("nil")
    form = {"project": "p1", "role": "PROJECT_READER", "until": "none", "xsrf": token}
    assert (await window.post("me/ask", form, **{MARK: ""})).status == 403
    assert (await window.api("GET", "/me", **{"X-XSRF-Token": token, MARK: ""})).status == 403
    assert (await window.post("me/ask", form)).status == 303


@pytest.mark.proves("R137")
async def test_a_signed_out_browser_is_told_too(window: Window) -> None:
    answer = await window.get("me", **{MARK: "true"})
    assert (answer.status, "Location" in answer.headers) == (403, False)
    assert b"service worker" in answer.body
