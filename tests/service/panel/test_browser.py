"""The browser road: whose browser it is, asked anew each time; what another site makes it send changes nothing."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

import pytest

from aizen_hub.service.panel.rendering import IN_BROWSER
from aizen_hub.service.routes import routes
from tests.service.conftest import Driver, populate
from tests.service.panel.window import Hub, P, Window, start


class TestSignIn:
    @pytest.mark.proves("R117", "T-33")
    async def test_cookies_and_headers(self, window: Window, whole: Driver, hub: Hub) -> None:
        begun = await window.begin("waiting")
        assert begun["code_challenge_method"] == "S256"
        answer = await window.come_back(begun["state"], "boss")
        lines = answer.headers.get_list("Set-Cookie")
        assert all("HttpOnly" in one and "SameSite=Lax" in one and f"Path={P};" in one for one in lines)
        assert not any("token-of" in one for one in lines)
        assert hub.asked[0]["code_verifier"]
        page = await window.get("waiting")
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
            ({"JUPYTERHUB_PUBLIC_URL": "https://hub.example/services/aizen/"}, "__Secure-", P),
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
        self, tmp_path: Path, hub: Hub, environ: dict[str, str], prefix: str, path: str
    ) -> None:
        driver = await start(tmp_path, hub, **environ)
        populate(driver.house)
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

    async def test_any_replica_ends_what_another_began(self, tmp_path: Path, hub: Hub, whole: Driver) -> None:
        other = await start(tmp_path, hub)
        try:
            for first, second in ((whole, other), (other, whole)):
                window = Window(first, hub)
                begun = await window.begin("account")
                answer = await window.come_back(begun["state"], "boss", second)
                assert answer.headers["Location"] == P + "account"
                window.driver = first
                assert (await window.get("account")).status == 200
        finally:
            other.close()
            await other.server.stop()

    @pytest.mark.proves("T-14")
    async def test_a_sign_in_of_another_browser_is_refused(self, window: Window, whole: Driver, hub: Hub) -> None:
        begun = await window.begin()
        other = Window(whole, hub)
        await other.begin()
        for victim in (other, Window(whole, hub)):
            answer = await victim.come_back(begun["state"], "boss")
            assert answer.status == 401
            assert "aizen-panel" not in victim.cookies
        for state in (begun["state"][:-2] + "AA", "x" * 20, begun["state"] + "A"):
            assert (await window.come_back(state, "boss")).status == 401

    @pytest.mark.proves("R120", "T-34")
    @pytest.mark.parametrize(
        "page",
        ["/evil.example", "\\evil.example", "//evil.example/%2f..", "waiting//x", "%0d%0aX: 1", "http://a.example"],
    )
    async def test_nobody_is_sent_elsewhere(self, whole: Driver, page: str) -> None:
        assert whole.house.browsers.onward(page).startswith(P)
        assert "//" not in whole.house.browsers.onward(page)
        assert urlsplit(whole.house.browsers.onward(page)).netloc == ""


class TestRevocation:
    async def test_it_holds_from_the_next_request_on(self, window: Window, hub: Hub, whole: Driver) -> None:
        await window.sign_in("boss")
        assert (await window.get("")).status == 200
        del hub.tokens["token-of-boss"]
        assert (await window.get("")).status == 302
        assert (await window.api("GET", "/me")).status == 401

    async def test_somebody_who_is_locked_sees_nothing(self, window: Window, whole: Driver) -> None:
        await window.sign_in("eve")
        boss = await whole.open("boss", None)
        lock = {"target": "identity", "name": "user:eve", "reason": "test"}
        answer = await whole.call("POST", "/api/v1/locks", lock, auth=boss.auth)
        assert answer.status == 201, answer.body
        page = await window.get("")
        assert page.status == 403
        assert b"locked" in page.body


class TestForgedRequests:
    @pytest.mark.proves("R115", "T-32")
    async def test_no_change_without_the_token_of_this_browser(self, whole: Driver, hub: Hub) -> None:
        window, other = Window(whole, hub), Window(whole, hub)
        token, foreign = await window.sign_in("nil"), await other.sign_in("eve")
        asked = {"scope": "p1", "role": "PROJECT_READER", "reason": ""}
        for form in (asked, {**asked, "xsrf": "guess"}, {**asked, "xsrf": foreign}):
            assert (await window.post("ask", form)).status in (400, 403)
        assert b"PROJECT_READER</code></td><td>p1" not in (await window.get("")).body
        assert (await window.post("ask", {**asked, "xsrf": token})).status == 303
        assert b"PROJECT_READER</code></td><td>p1" in (await window.get("")).body

    @pytest.mark.proves("R116", "T-32")
    @pytest.mark.parametrize("site", ["cross-site", "same-site"])
    async def test_another_site_is_refused_in_addition(self, window: Window, site: str) -> None:
        token = await window.sign_in("nil")
        form = {"scope": "p1", "role": "PROJECT_READER", "reason": "", "xsrf": token}
        assert (await window.post("ask", form, **{"Sec-Fetch-Site": site})).status == 403
        assert (await window.post("ask", form, **{"Sec-Fetch-Site": "same-origin"})).status == 303

    @pytest.mark.proves("T-33")
    @pytest.mark.parametrize("how", [("cors", "empty"), ("no-cors", "image"), ("navigate", "iframe")])
    async def test_pages_are_not_read_by_programs(self, window: Window, how: tuple[str, str]) -> None:
        await window.sign_in("nil")
        headers = {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": how[0], "Sec-Fetch-Dest": how[1]}
        page = await window.get("", **headers)
        assert page.status == 403
        assert b'name="xsrf"' not in page.body
        opened = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
        assert (await window.get("", **opened)).status == 200

    @pytest.mark.proves("R115", "T-49")
    async def test_the_api_needs_the_token_also_to_be_read(self, window: Window) -> None:
        token = await window.sign_in("boss")
        assert (await window.api("GET", "/me")).status == 403
        assert (await window.api("GET", "/me", **{"X-XSRF-Token": token})).json["user"] == "boss"
        lock = {"target": "identity", "name": "user:eve", "reason": "test"}
        assert (await window.api("POST", "/locks", lock)).status == 403
        assert (await window.api("POST", "/locks", lock, **{"X-XSRF-Token": token})).status == 201

    @pytest.mark.proves("R115")
    async def test_nothing_changes_by_get(self, window: Window, whole: Driver) -> None:
        await window.sign_in("boss")
        before = whole.revision()
        for route in routes():
            if route.page and route.method == "GET":
                await window.get(
                    route.path.removeprefix("/").replace("{change}", "0" * 32).replace("{file}", "hub.css")
                )
        assert whole.revision() == before

    async def test_a_planted_cookie_of_the_same_name_counts_for_nothing(self, window: Window) -> None:
        await window.sign_in("boss")
        value = window.cookies["aizen-panel"]
        window.cookies = {}
        assert (await window.get("", Cookie=f"aizen-panel={value}")).status == 200
        assert (await window.get("", Cookie=f"aizen-panel=x; aizen-panel={value}")).status == 302
        assert (await window.get("", Cookie=f"aizen-panel={value[:-3]}AAA")).status == 302


@pytest.mark.proves("T-49", "T-13")
async def test_pages_take_nothing_but_a_signed_in_browser(whole: Driver, hub: Hub, window: Window) -> None:
    eve = await whole.open("eve")
    hub.tokens["cli"] = "boss"
    for auth in ("token cli", eve.auth, f"Bearer {whole.hub_secret}", f"token {eve.hub_token}"):
        assert (await whole.call("GET", P + "waiting", auth=auth)).status == 401
    await window.sign_in("boss")
    # The root address of the service knows no browsers.
    cookie = {"Cookie": f"aizen-panel={window.cookies['aizen-panel']}"}
    assert (await whole.call("GET", "/waiting", headers=cookie)).status == 404
    assert (await whole.call("GET", "/api/v1/me", headers=cookie)).status == 401
    assert all(route.takes == IN_BROWSER for route in routes() if route.path.startswith(("/waiting", "/sessions")))


@pytest.mark.proves("R118", "R99")
async def test_what_people_write_stays_text(window: Window, whole: Driver, hub: Hub) -> None:
    token = await window.sign_in("nil")
    reason = "<img src=x onerror=alert(1)>{{ 7*7 }}"
    await window.post("ask", {"scope": "p1", "role": "PROJECT_READER", "reason": reason, "xsrf": token})
    ada = Window(whole, hub)
    await ada.sign_in("ada")
    page = (await ada.get("waiting")).body.decode()
    assert "&lt;img src=x onerror=alert(1)&gt;{{ 7*7 }}" in page
    assert "<img src=x" not in page
