"""Page *My access*: its form asks for nothing impossible, and for a duration."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest

from aizen_hub.accounts.roles import access_requests
from aizen_hub.rbac.identity import Identity
from tests.service.conftest import Driver
from tests.service.panel.window import Window


async def test_the_form_preselects_no_role_and_offers_no_impossible_system_role(
    window: Window, hub_service: Driver
) -> None:
    await window.sign_in("maker")
    page = (await window.get("")).body.decode()
    (select,) = re.findall(r'<select[^>]* id="role"[^>]*>(.*?)</select>', page, re.DOTALL)
    options = re.findall(r'<option value="([^"]*)"', select)
    assert re.findall(r'<option value="([^"]*)" selected disabled>', select) == [""]
    assert "PROJECT_CREATOR" not in options, "maker has it already"
    assert {"PROJECT_READER", "PROJECT_EXECUTOR", "PROJECT_ADMIN"} <= set(options)
    assert re.findall(r'<optgroup label="([^"]*)"', select)[0] == "In a project"


async def test_a_request_for_an_impossible_role_is_refused(window: Window, hub_service: Driver) -> None:
    xsrf = await window.sign_in("nil")
    for form in (
        {"scope": "", "role": "PROJECT_READER"},
        {"scope": "p1", "role": "PROJECT_CREATOR"},
        {"scope": "nowhere", "role": "PROJECT_READER"},
    ):
        response = await window.post("request", {"xsrf": xsrf, "reason": "", **form})
        assert response.status in (400, 404), response.body
    with hub_service.context.store.read() as tx:
        assert access_requests.list_own_requests(tx, Identity.user("nil")).rows == ()


@pytest.mark.parametrize("shorter", [None, 3])
async def test_a_duration_is_requested_shown_and_shortened(
    window: Window, hub_service: Driver, shorter: int | None
) -> None:
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    last_day = today + timedelta(days=30)
    xsrf = await window.sign_in("nil")
    form = {"scope": "p1", "role": "PROJECT_READER", "reason": "", "until": f"{last_day:%Y-%m-%d}"}
    assert (await window.post("request", {"xsrf": xsrf, **form})).status == 303
    end = last_day + timedelta(days=1)
    assert f"{end:%Y-%m-%d %H:%M} UTC" in (await window.get("")).body.decode()
    window.cookies.clear()
    xsrf = await window.sign_in("ada")
    page = (await window.get("pending")).body.decode()
    assert f"{end:%Y-%m-%d %H:%M} UTC" in page
    (action,) = re.findall(r'action="[^"]*(pending/requests/[^"]*/approve)"', page)
    until = "" if shorter is None else f"{today + timedelta(days=shorter):%Y-%m-%d}"
    approved = await window.post(action, {"xsrf": xsrf, "comment": "", "until": until})
    assert approved.status == 303, approved.body
    with hub_service.context.store.read() as tx:
        (held,) = tx.rights(Identity.user("nil")).held_roles
    assert held.interval.ends == (end if shorter is None else today + timedelta(days=shorter + 1))


@pytest.mark.proves("R141")
async def test_a_reason_is_never_cut_in_silence(window: Window) -> None:
    token = await window.sign_in("nil")
    assert b'name="reason" maxlength' not in (await window.get("")).body, "a browser would cut what is pasted"
    form = {"scope": "p1", "role": "PROJECT_READER", "reason": "x" * 1_001, "xsrf": token}
    answer = await window.post("request", form)
    assert answer.status == 422
    assert b"1001 characters" in answer.body
    assert (await window.post("request", {**form, "reason": "x" * 1_000})).status == 303
