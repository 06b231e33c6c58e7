"""Page *Ask for access*: a link fills in every field, nothing impossible is asked for, and a request has an end."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode

import pytest

from aizen_hub.accounts.roles import access_requests
from aizen_hub.rbac.identity import Identity
from tests.service.conftest import Driver
from tests.service.panel.window import PREFIX, Window

FORM = {"project": "p1", "role": "PROJECT_READER", "because": "", "until": "none"}
REASON = 'Retrain: 50 % of "churn" (before Thursday…) & compare + it\'s done // ../x'
LINK = {"project": "p1", "role": "PROJECT_EXECUTOR", "for": "4h", "because": REASON}


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


async def test_a_link_fills_in_every_field_and_outlasts_the_sign_in(window: Window, hub_service: Driver) -> None:
    page = "me/ask?" + urlencode(LINK)
    query = await window.start_login(page)
    response = await window.finish_login(query["state"], "nil")
    assert response.headers["Location"] == PREFIX + page
    text = (await window.get(page)).body.decode()
    assert re.search(r'id="project" name="project" value="p1"', text)
    assert '<option value="PROJECT_EXECUTOR" selected>' in text
    assert '<input type="radio" name="until" value="4h" checked>4 hours' in text
    assert "Retrain: 50 % of &#34;churn&#34; (before Thursday…) &amp; compare + it&#39;s done // ../x" in text
    form = {**FORM, "role": "PROJECT_EXECUTOR", "until": "4h", "because": REASON, "xsrf": await window.xsrf()}
    sent = await window.post("me/ask", form)
    assert (sent.status, sent.headers["Location"]) == (303, PREFIX + "me/requests")
    with hub_service.context.store.read() as tx:
        ((_, role, scope, state, asked, until, *_),) = access_requests.list_own_requests(tx, Identity.user("nil")).rows
    assert (role, scope, state) == ("PROJECT_EXECUTOR", "p1", "waiting")
    assert abs(until - asked - timedelta(hours=4)) < timedelta(seconds=1)


@pytest.mark.parametrize(
    ("link", "shown"),
    [
        ("until=2031-02-03", r'value="date" checked>.*name="until_date" value="2031-02-03"'),
        ("until=none", r'value="none" checked>'),
        ("for=2w", r'value="2w" checked>2 weeks'),
        ("for=7+days", r'value="7 days" checked>7 days'),
        ("for=soon", r'Filled in by the link: 1 field.*id="until-error">.*Soon is no end'),
        ("until=soon", r'id="until-error">.*Soon is no end'),
        ("role=PROJECT_KING", r'id="role-error">.*PROJECT_KING cannot be asked for'),
        ("", r'value="30d" checked>'),
    ],
)
async def test_how_a_link_names_the_end_and_what_is_wrong_with_it(window: Window, link: str, shown: str) -> None:
    await window.sign_in("nil")
    response = await window.get(f"me/ask?{link}")
    assert response.status == 200
    assert re.search(shown, response.body.decode(), re.DOTALL)


@pytest.mark.parametrize(
    ("form", "field"),
    [
        ({"project": "", "role": "PROJECT_READER"}, None),
        ({"project": "p1", "role": "PROJECT_CREATOR"}, None),
        ({"project": "nowhere", "role": "PROJECT_READER"}, None),
        ({"role": ""}, "role"),
        ({"until": ""}, "until"),
        ({"until": "date", "until_date": "2001-01-01"}, "until"),
        ({"project": "p\u202e1"}, "project"),
    ],
)
async def test_an_impossible_request_is_shown_again_with_what_was_typed(
    window: Window, hub_service: Driver, form: dict[str, str], field: str | None
) -> None:
    xsrf = await window.sign_in("nil")
    response = await window.post("me/ask", {"xsrf": xsrf, **FORM, "because": "for the model", **form})
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
    assert (await window.post("me/ask", {"xsrf": xsrf, **form})).status == 303
    end = last_day + timedelta(days=1)
    assert f"{end:%Y-%m-%d %H:%M} UTC" in (await window.get("me/requests")).body.decode()
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
    (field,) = re.findall(rb'<input[^>]* name="because"[^>]*>', (await window.get("me/ask")).body)
    assert b"maxlength" not in field, "a browser would cut what is pasted"
    form = {**FORM, "because": "x" * 1_001, "xsrf": token}
    answer = await window.post("me/ask", form)
    assert answer.status == 422
    assert b"1001 characters" in answer.body
    assert (await window.post("me/ask", {**form, "because": "x" * 1_000})).status == 303
