"""Sign-in of browsers, revocation, and protection against forged requests."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

import pytest

from aizen_hub.service.panel.pages import IN_BROWSER
from aizen_hub.service.routes import routes
from tests.service.conftest import Driver, populate
from tests.service.panel.window import PREFIX, FakeHub, Window, start


def with_another_character(text: str) -> str:
    """Not the last one, of which not every bit counts."""
    return text[:20] + ("B" if text[20] == "A" else "A") + text[21:]


class TestSignIn:
    @pytest.mark.proves("R117", "T-33")
    async def test_cookies_and_headers(self, window: Window, hub_service: Driver, hub: FakeHub) -> None:
        query = await window.start_login("requests")
        assert query["code_challenge_method"] == "S256"
        response = await window.finish_login(query["state"], "boss")
        lines = response.headers.get_list("Set-Cookie")
        assert all("HttpOnly" in line and "SameSite=Lax" in line and f"Path={PREFIX};" in line for line in lines)
        assert not any("token-of" in line for line in lines)
        assert hub.requests[0]["code_verifier"]
        page = await window.get("requests")
        assert page.status == 200
        policy = page.headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'")
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert page.headers["Cache-Control"] == "no-store"
        assert page.headers["X-Content-Type-Options"] == "nosniff"

    @pytest.mark.proves("R117", "R121")
    @pytest.mark.parametrize(
        ("environ", "prefix", "path"),
        [
            ({"JUPYTERHUB_PUBLIC_URL": "https://hub.example/services/aizen/"}, "__Secure-", PREFIX),
            (
                {
                    "JUPYTERHUB_PUBLIC_URL": "https://services.hub.example/services/aizen/",
                    "JUPYTERHUB_HOST": "https://hub.example",
                },
                "__Host-",
                "/",
            ),
        ],
    )
    async def test_cookies_under_tls(
        self, tmp_path: Path, hub: FakeHub, environ: dict[str, str], prefix: str, path: str
    ) -> None:
        driver = await start(tmp_path, hub, **environ)
        populate(driver.context)
        try:
            window = Window(driver, hub)
            await window.sign_in("boss")
            assert set(window.cookies) == {f"{prefix}aizen-panel", f"{prefix}aizen-signin"}
            line = (await Window(driver, hub).get("")).headers["Set-Cookie"]
            assert "; Secure" in line
            assert f"; Path={path};" in line
        finally:
            driver.close()
            await driver.server.stop()

    async def test_a_login_can_end_at_another_replica(self, tmp_path: Path, hub: FakeHub, hub_service: Driver) -> None:
        other = await start(tmp_path, hub)
        try:
            for first, second in ((hub_service, other), (other, hub_service)):
                window = Window(first, hub)
                query = await window.start_login("account")
                response = await window.finish_login(query["state"], "boss", second)
                assert response.headers["Location"] == PREFIX + "account"
                window.driver = first
                assert (await window.get("account")).status == 200
        finally:
            other.close()
            await other.server.stop()

    async def test_a_login_is_completed_once_over_all_replicas(
        self, tmp_path: Path, hub: FakeHub, hub_service: Driver
    ) -> None:
        """Both replicas share the store; the browser sends the same answer of the hub again, with a code that works."""
        other = await start(tmp_path, hub)
        try:
            window = Window(hub_service, hub)
            query = await window.start_login("account")
            sign_in_cookie = dict(window.cookies)
            assert (await window.finish_login(query["state"], "boss")).status == 302
            for replica in (hub_service, other):
                replayed = Window(replica, hub)
                replayed.cookies = dict(sign_in_cookie)
                answer = await replayed.finish_login(query["state"], "boss", replica)
                assert answer.status == 401
                assert b"completed already" in answer.body
                assert "aizen-panel" not in replayed.cookies
        finally:
            other.close()
            await other.server.stop()

    @pytest.mark.proves("T-14")
    async def test_a_login_of_another_browser_is_refused(
        self, window: Window, hub_service: Driver, hub: FakeHub
    ) -> None:
        query = await window.start_login()
        other = Window(hub_service, hub)
        await other.start_login()
        for victim in (other, Window(hub_service, hub)):
            response = await victim.finish_login(query["state"], "boss")
            assert response.status == 401
            assert "aizen-panel" not in victim.cookies
        for state in (with_another_character(query["state"]), "x" * 20, query["state"] + "A"):
            assert (await window.finish_login(state, "boss")).status == 401

    @pytest.mark.proves("R120", "T-34")
    @pytest.mark.parametrize(
        "page",
        [
            "../../hub",
            "me/%2e%2E/%2e%2e/hub",
            "/evil.example",
            "\\evil.example",
            "//evil.example/%2f..",
            "requests//x",
            "%0d%0aX: 1",
            "http://a.example",
            "../hub?next=me",
            "me?a=\r\nX: 1",
        ],
    )
    async def test_redirects_stay_within_the_service(self, hub_service: Driver, page: str) -> None:
        assert hub_service.context.browser_login.next_url(page).startswith(PREFIX)
        assert ".." not in hub_service.context.browser_login.next_url(page)
        assert "%2" not in hub_service.context.browser_login.next_url(page)
        assert "//" not in hub_service.context.browser_login.next_url(page)
        assert urlsplit(hub_service.context.browser_login.next_url(page)).netloc == ""


class TestRevocation:
    async def test_a_deleted_token_is_refused_from_the_next_request_on(
        self, window: Window, hub: FakeHub, hub_service: Driver
    ) -> None:
        await window.sign_in("boss")
        assert (await window.get("me")).status == 200
        del hub.tokens["token-of-boss"]
        assert (await window.get("me")).status == 302
        assert (await window.api("GET", "/me")).status == 401

    async def test_a_locked_user_sees_nothing(self, window: Window, hub_service: Driver) -> None:
        await window.sign_in("eve")
        boss = await hub_service.open("boss", None)
        lock = {"target": "identity", "name": "user:eve", "reason": "test"}
        response = await hub_service.call("POST", "/api/v1/locks", lock, auth=boss.auth)
        assert response.status == 201, response.body
        page = await window.get("me")
        assert page.status == 403
        assert b"locked" in page.body


class TestForgedRequests:
    @pytest.mark.proves("R115", "T-32")
    async def test_no_change_without_the_token_of_this_browser(self, hub_service: Driver, hub: FakeHub) -> None:
        window, other = Window(hub_service, hub), Window(hub_service, hub)
        token, foreign = await window.sign_in("nil"), await other.sign_in("eve")
        request = {"project": "p1", "role": "PROJECT_READER", "until": "none"}
        for form in (request, {**request, "xsrf": "guess"}, {**request, "xsrf": foreign}):
            assert (await window.post("me/ask", form)).status in (400, 403)
        assert b"No request yet" in (await window.get("me/requests")).body
        assert (await window.post("me/ask", {**request, "xsrf": token})).status == 303
        assert b"No request yet" not in (await window.get("me/requests")).body

    @pytest.mark.proves("R116", "T-32")
    @pytest.mark.parametrize("site", ["cross-site", "same-site"])
    async def test_another_site_is_refused_in_addition(self, window: Window, site: str) -> None:
        token = await window.sign_in("nil")
        form = {"project": "p1", "role": "PROJECT_READER", "until": "none", "xsrf": token}
        assert (await window.post("me/ask", form, **{"Sec-Fetch-Site": site})).status == 403
        assert (await window.post("me/ask", form, **{"Sec-Fetch-Site": "same-origin"})).status == 303

    @pytest.mark.proves("T-33")
    @pytest.mark.parametrize("fetch", [("cors", "empty"), ("no-cors", "image"), ("navigate", "iframe")])
    async def test_pages_cannot_be_fetched_by_scripts(self, window: Window, fetch: tuple[str, str]) -> None:
        await window.sign_in("nil")
        headers = {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": fetch[0], "Sec-Fetch-Dest": fetch[1]}
        page = await window.get("me", **headers)
        assert page.status == 403
        assert b'name="xsrf"' not in page.body
        opened = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
        assert (await window.get("me", **opened)).status == 200

    @pytest.mark.proves("R115", "T-49")
    async def test_the_api_needs_the_xsrf_token_for_reads_too(self, window: Window) -> None:
        token = await window.sign_in("boss")
        assert (await window.api("GET", "/me")).status == 403
        assert (await window.api("GET", "/me", **{"X-XSRF-Token": token})).json["user"] == "boss"
        lock = {"target": "identity", "name": "user:eve", "reason": "test"}
        assert (await window.api("POST", "/locks", lock)).status == 403
        assert (await window.api("POST", "/locks", lock, **{"X-XSRF-Token": token})).status == 201

    @pytest.mark.proves("R115")
    async def test_get_requests_change_nothing(self, window: Window, hub_service: Driver) -> None:
        await window.sign_in("boss")
        before = hub_service.revision()
        for route in routes():
            if route.browser_page and route.method == "GET":
                await window.get(
                    route.path.removeprefix("/").replace("{change}", "0" * 32).replace("{file}", "hub.css")
                )
        assert hub_service.revision() == before

    async def test_a_planted_cookie_of_the_same_name_is_ignored(self, window: Window) -> None:
        await window.sign_in("boss")
        value = window.cookies["aizen-panel"]
        window.cookies = {}
        assert (await window.get("me", Cookie=f"aizen-panel={value}")).status == 200
        assert (await window.get("me", Cookie=f"aizen-panel=x; aizen-panel={value}")).status == 302
        assert (await window.get("me", Cookie=f"aizen-panel={with_another_character(value)}")).status == 302


@pytest.mark.proves("T-49", "T-13")
async def test_pages_accept_only_a_signed_in_browser(hub_service: Driver, hub: FakeHub, window: Window) -> None:
    eve = await hub_service.open("eve")
    hub.tokens["cli"] = "boss"
    for auth in ("token cli", eve.auth, f"Bearer {hub_service.hub_secret}", f"token {eve.hub_token}"):
        assert (await hub_service.call("GET", PREFIX + "requests", auth=auth)).status == 401
    await window.sign_in("boss")
    # The direct address of the service does not accept browsers.
    cookie = {"Cookie": f"aizen-panel={window.cookies['aizen-panel']}"}
    assert (await hub_service.call("GET", "/requests", headers=cookie)).status == 404
    assert (await hub_service.call("GET", "/api/v1/me", headers=cookie)).status == 401
    assert all(
        route.auth == IN_BROWSER
        for route in routes()
        if route.path.startswith(("/requests", "/changes", "/me/sessions"))
    )


@pytest.mark.proves("R118", "R99")
async def test_text_of_users_is_escaped(window: Window, hub_service: Driver, hub: FakeHub) -> None:
    token = await window.sign_in("nil")
    reason = "<img src=x onerror=alert(1)>{{ 7*7 }}"
    await window.post(
        "me/ask", {"project": "p1", "role": "PROJECT_READER", "until": "none", "because": reason, "xsrf": token}
    )
    ada = Window(hub_service, hub)
    await ada.sign_in("ada")
    page = (await ada.get("requests")).body.decode()
    assert "&lt;img src=x onerror=alert(1)&gt;{{ 7*7 }}" in page
    assert "<img src=x" not in page
