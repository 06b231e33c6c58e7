"""Pages and fragments: what htmx receives, who may fetch it, toasts after a change, errors of a form."""

from __future__ import annotations

import re

import pytest

from aizen_hub.problems import BadInput, Denied, Fault, Unavailable
from aizen_hub.service.http.route import RawResponse
from aizen_hub.service.panel.form_errors import FieldError, FormErrors, show_errors
from tests.service.conftest import Driver
from tests.service.panel.window import PREFIX, FakeHub, Window

SCRIPT = {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty"}


class TestFragments:
    async def test_every_page_varies_by_who_asks(self, window: Window) -> None:
        await window.sign_in("boss", "me")
        assert (await window.get("me")).headers["Vary"] == "HX-Request"

    @pytest.mark.proves("T-33", "R115")
    async def test_a_script_needs_the_token_of_our_own_pages(
        self, window: Window, hub_service: Driver, hub: FakeHub
    ) -> None:
        token = await window.sign_in("boss", "me")
        other = await Window(hub_service, hub).sign_in("eve", "me")
        htmx = {"HX-Request": "true", **SCRIPT}
        for refused in ({}, {"X-XSRF-Token": ""}, {"X-XSRF-Token": "guess"}, {"X-XSRF-Token": other}):
            assert (await window.get("me", **htmx, **refused)).status == 403
        mine = {"X-XSRF-Token": token}
        assert (await window.get("me", **htmx, **mine)).status == 200
        assert (await window.get("me", **SCRIPT, **mine)).status == 403, "only htmx asks for pages"
        for site in ("cross-site", "same-site"):
            assert (await window.get("me", **{**htmx, **mine, "Sec-Fetch-Site": site})).status == 403

    async def test_a_refusal_becomes_a_toast(self, window: Window) -> None:
        token = await window.sign_in("eve", "me")
        headers = {"HX-Request": "true", "X-XSRF-Token": token, **SCRIPT}
        refused = await window.get("locks/1", **headers)
        assert refused.status == 403
        assert refused.headers["HX-Retarget"] == "#az-toasts"
        assert b"<html" not in refused.body
        assert b'role="alert"' in refused.body

    async def test_a_script_of_a_signed_out_browser_reloads_its_page(self, window: Window, hub: FakeHub) -> None:
        token = await window.sign_in("eve", "me")
        del hub.tokens["token-of-eve"]
        answer = await window.get("me", **{"HX-Request": "true", "X-XSRF-Token": token, **SCRIPT})
        assert (answer.status, answer.headers["HX-Refresh"]) == (401, "true")

    async def test_a_change_by_a_script_names_the_page_to_open(self, window: Window) -> None:
        token = await window.sign_in("nil", "me")
        form = {"project": "p1", "role": "PROJECT_READER", "until": "none", "xsrf": token}
        answer = await window.post("me/ask", form, **{"HX-Request": "true"})
        assert (answer.status, answer.headers["HX-Redirect"]) == (200, PREFIX + "me/requests")


class TestToasts:
    async def test_a_toast_is_shown_once(self, window: Window) -> None:
        token = await window.sign_in("nil", "me")
        form = {"project": "p1", "role": "PROJECT_READER", "until": "none", "xsrf": token}
        assert (await window.post("me/ask", form)).headers["Location"] == PREFIX + "me/requests"
        assert b"Your request was sent" in (await window.get("me")).body
        assert b"Your request was sent" not in (await window.get("me")).body

    async def test_a_planted_toast_is_ignored(self, window: Window) -> None:
        await window.sign_in("nil", "me")
        window.cookies["aizen-toast"] = "eyJ0ZXh0IjogIllvdXIgcGFzc3dvcmQgaXMgd3JvbmcifQ"
        page = await window.get("me")
        assert page.status == 200
        assert b'az-toast"' not in page.body
        assert not window.cookies["aizen-toast"], "it is removed"

    async def test_a_toast_of_another_replica_is_read_with_the_shared_key_only(self, window: Window) -> None:
        await window.sign_in("nil", "me")
        # A value of another purpose, from the same service.
        window.cookies["aizen-toast"] = window.cookies["aizen-panel"]
        assert b'az-toast"' not in (await window.get("me")).body


class TestFormErrors:
    async def _again(self, errors: FormErrors) -> RawResponse:
        return RawResponse(repr((dict(errors.fields), errors.general)).encode(), "text/plain", status=422)

    @pytest.mark.parametrize(
        ("problem", "text"),
        [
            (FieldError("who", "there is no pual"), "({'who': 'there is no pual'}, ())"),
            (BadInput("a; b", faults=(Fault("/name/0", "a"), Fault("", "b"))), "({'name': 'a'}, ('b',))"),
            (BadInput("too many", remedy="take fewer"), "({}, ('too many; take fewer',))"),
        ],
    )
    async def test_what_can_be_corrected_is_shown_on_the_form(self, problem: BadInput, text: str) -> None:
        async def change() -> RawResponse:
            raise problem

        answer = await show_errors(change(), self._again, lambda handler: None)
        assert (answer.status, answer.body.decode()) == (422, text)

    @pytest.mark.parametrize("problem", [Denied("no"), Unavailable("later")])
    async def test_other_problems_have_a_page_of_their_own(self, problem: Exception) -> None:
        async def change() -> RawResponse:
            raise problem

        with pytest.raises(type(problem)):
            await show_errors(change(), self._again, lambda handler: None)


@pytest.mark.parametrize("page", ["", "me", "requests", "account"])
async def test_a_deep_address_survives_the_sign_in(window: Window, page: str) -> None:
    await window.sign_in("boss", page)


@pytest.mark.parametrize("page", ["me?a=b+c%20d", "people/rita%40x.org", "why?who=rita&do=start+training&in=churn"])
async def test_the_query_of_an_address_survives_the_sign_in(hub_service: Driver, page: str) -> None:
    assert hub_service.context.browser_login.next_url(page) == PREFIX + page


class TestProblemPages:
    @pytest.mark.parametrize(
        ("user", "page", "alike"),
        [
            ("boss", "people/eev", ["people/eve"]),
            ("boss", "projects/pp1", ["projects/p1"]),
            ("boss", "people/%F0%9F%98%80", []),
            ("ada", "people/ev", ["people/eve"]),
            ("ada", "people/zo", []),
        ],
    )
    @pytest.mark.proves("R72")
    async def test_an_unknown_name_is_answered_with_those_that_are_alike(
        self, window: Window, user: str, page: str, alike: list[str]
    ) -> None:
        await window.sign_in(user, "me")
        answer = await window.get(page)
        assert answer.status == 404
        text = answer.body.decode()
        assert [address for address in alike if f'href="{PREFIX}{address}"' not in text] == []
        assert ('id="aizen-alike"' in text) == bool(alike)
        assert 'id="search-instead"' in text

    async def test_a_refusal_leads_to_why(self, window: Window) -> None:
        await window.sign_in("eve", "me")
        refused = await window.get("locks/1")
        assert refused.status == 403
        address = re.search(rf'href="{PREFIX}(why\?decision=\w+)"', refused.body.decode())
        assert address is not None, refused.body

    async def test_a_form_of_a_signed_out_browser_says_what_was_not_saved(self, window: Window, hub: FakeHub) -> None:
        token = await window.sign_in("nil", "me")
        del hub.tokens["token-of-nil"]
        form = {"project": "p1", "role": "PROJECT_READER", "until": "none", "xsrf": token}
        answer = await window.post("me/ask", form)
        assert answer.status == 401
        assert b"You are not signed in" in answer.body
        assert b"What you typed was not saved." in answer.body
        assert f'href="{PREFIX}me"'.encode() in answer.body

    @pytest.mark.parametrize("page", ["nothing", "people/not-here", "locks/1"])
    async def test_no_page_shows_an_internal_address(self, window: Window, hub: FakeHub, page: str) -> None:
        await window.sign_in("eve", "me")
        text = (await window.get(page)).body.decode()
        assert "127.0.0.1" not in text
        assert "<pre" not in text

    @pytest.mark.parametrize(("page", "status"), [("people/eev", 404), ("locks/1", 403)])
    async def test_a_problem_of_a_page_keeps_the_frame_and_says_where_to_go(
        self, window: Window, page: str, status: int
    ) -> None:
        await window.sign_in("ada", "me")
        answer = await window.get(page)
        assert answer.status == status
        text = answer.body.decode()
        assert f'href="{PREFIX}people"' in text, "the navigation"
        assert (f'href="{PREFIX}{page}">Back' in text) == (status == 403)
