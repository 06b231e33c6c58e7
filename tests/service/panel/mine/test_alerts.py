"""Pages *Alerts of my projects*: choosing by project, in steps that a browser makes."""

from __future__ import annotations

import re

import pytest

from tests.service.conftest import Driver
from tests.service.panel.window import PREFIX, Window


async def test_alerts_are_chosen_by_project(window: Window, hub_service: Driver) -> None:
    xsrf = await window.sign_in("eve")
    assert "account/alerts" in (await window.get("account")).body.decode()
    listed = (await window.get("account/alerts")).body.decode()
    assert "account/alerts/p1" in listed
    assert "No alert reaches you now" in listed, "no mail server is set up here"
    page = (await window.get("account/alerts/p1")).body.decode()
    assert 'value="training"' in page
    assert 'value="access"' not in page, "eve may not read who has access"
    form = [("xsrf", xsrf), ("service", "training"), ("service", "llm")]
    saved = await window.post("account/alerts/p1", form)
    assert (saved.status, saved.headers["Location"]) == (303, PREFIX + "account/alerts")
    assert "llm, training" in (await window.get("account/alerts")).body.decode()
    ticked = re.findall(r'value="(\w+)" checked', (await window.get("account/alerts/p1")).body.decode())
    assert sorted(ticked) == ["llm", "training"]
    assert "1 project tells you of jobs" in (await window.get("account")).body.decode()
    assert (await window.post("account/alerts/p1", {"xsrf": xsrf})).status == 303
    assert "llm, training" not in (await window.get("account/alerts")).body.decode()


@pytest.mark.proves("R72")
async def test_a_project_of_others_has_no_such_page(window: Window) -> None:
    xsrf = await window.sign_in("eve")
    for project in ("p2", "nowhere"):
        assert (await window.get(f"account/alerts/{project}")).status == 404
        form = [("xsrf", xsrf), ("service", "training")]
        assert (await window.post(f"account/alerts/{project}", form)).status == 404
