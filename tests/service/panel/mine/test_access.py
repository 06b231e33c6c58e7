"""Page *My access*: what the viewer has and why, and a form that asks for nothing impossible, and for a duration."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest

from aizen_hub.accounts.roles import access_requests
from aizen_hub.rbac.identity import Identity
from tests.service.conftest import Driver
from tests.service.panel.window import Window

FORM = {"scope": "p1", "role": "PROJECT_READER", "reason": "", "until": "none"}


async def test_the_form_preselects_no_role_and_offers_no_impossible_system_role(
    window: Window, hub_service: Driver
) -> None:
    await window.sign_in("maker")
    page = (await window.get("me")).body.decode()
    (select,) = re.findall(r'<select[^>]* id="role"[^>]*>(.*?)</select>', page, re.DOTALL)
    options = re.findall(r'<option value="([^"]*)"', select)
    assert options[0] == ""
    assert " selected" not in select
    assert "PROJECT_CREATOR" not in options, "maker has it already"
    assert {"PROJECT_READER", "PROJECT_EXECUTOR", "PROJECT_ADMIN"} <= set(options)
    assert re.findall(r'<optgroup label="([^"]*)"', select)[0] == "In a project"


async def test_a_link_fills_in_the_form(window: Window, hub_service: Driver) -> None:
    await window.sign_in("nil")
    page = (await window.get("me?project=p1&role=PROJECT_EXECUTOR")).body.decode()
    assert re.search(r'id="scope" name="scope" value="p1"', page)
    assert '<option value="PROJECT_EXECUTOR" selected>' in page


async def test_each_role_tells_its_source(window: Window, hub_service: Driver) -> None:
    await window.sign_in("eve")
    page = (await window.get("me")).body.decode()
    assert "You have 1 role in 1 project." in page
    assert "PROJECT_EXECUTOR" in page
    assert "me/commands/p1" in page
    assert "me/leave/p1" in page


@pytest.mark.parametrize(
    ("form", "field"),
    [
        ({"scope": "", "role": "PROJECT_READER"}, None),
        ({"scope": "p1", "role": "PROJECT_CREATOR"}, None),
        ({"scope": "nowhere", "role": "PROJECT_READER"}, None),
        ({"role": ""}, "role"),
        ({"until": ""}, "until"),
        ({"until": "date", "until_date": "2001-01-01"}, "until"),
        ({"scope": "p\u202e1"}, "scope"),
    ],
)
async def test_an_impossible_request_is_shown_again_with_what_was_typed(
    window: Window, hub_service: Driver, form: dict[str, str], field: str | None
) -> None:
    xsrf = await window.sign_in("nil")
    response = await window.post("me/request", {"xsrf": xsrf, **FORM, "reason": "for the model", **form})
    assert response.status == 422
    page = response.body.decode()
    assert "for the model" in page
    if field is not None:
        assert f'id="{field}-error"' in page
    with hub_service.context.store.read() as tx:
        assert access_requests.list_own_requests(tx, Identity.user("nil")).rows == ()


@pytest.mark.parametrize("shorter", [None, 3])
async def test_a_duration_is_requested_shown_and_shortened(
    window: Window, hub_service: Driver, shorter: int | None
) -> None:
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    last_day = today + timedelta(days=30)
    xsrf = await window.sign_in("nil")
    form = {**FORM, "until": "date", "until_date": f"{last_day:%Y-%m-%d}"}
    assert (await window.post("me/request", {"xsrf": xsrf, **form})).status == 303
    end = last_day + timedelta(days=1)
    assert f"{end:%Y-%m-%d %H:%M} UTC" in (await window.get("me")).body.decode()
    window.cookies.clear()
    xsrf = await window.sign_in("ada")
    page = (await window.get("requests")).body.decode()
    assert f"until {end:%Y-%m-%d %H:%M} UTC" in page
    (request,) = re.findall(r'href="[^"]*(requests/[0-9a-f]{32})"', page)
    chosen = (
        {"until": "longest"}
        if shorter is None
        else {"until": "date", "until_date": f"{today + timedelta(days=shorter):%Y-%m-%d}"}
    )
    approved = await window.post(f"{request}/approve", {"xsrf": xsrf, "give": "PROJECT_READER", **chosen})
    assert approved.status == 303, approved.body
    with hub_service.context.store.read() as tx:
        (held,) = tx.rights(Identity.user("nil")).held_roles
    assert held.interval.ends == (end if shorter is None else today + timedelta(days=shorter + 1))


@pytest.mark.proves("R141")
async def test_a_reason_is_never_cut_in_silence(window: Window) -> None:
    token = await window.sign_in("nil")
    (field,) = re.findall(rb'<input[^>]* name="reason"[^>]*>', (await window.get("me")).body)
    assert b"maxlength" not in field, "a browser would cut what is pasted"
    form = {**FORM, "reason": "x" * 1_001, "xsrf": token}
    answer = await window.post("me/request", form)
    assert answer.status == 422
    assert b"1001 characters" in answer.body
    assert (await window.post("me/request", {**form, "reason": "x" * 1_000})).status == 303
