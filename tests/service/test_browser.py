"""The browser road: whose browser it is, asked anew each time; what another site makes it send changes nothing."""

from __future__ import annotations

import json
import re
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pyotp
import pytest
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application, RequestHandler

from aizen_hub.rbac.identity import Identity
from aizen_hub.service.build import build
from aizen_hub.service.panel.page import IN_BROWSER
from aizen_hub.service.server import Server
from aizen_hub.service.table import routes
from aizen_hub.tokens.credential import hash_credential
from tests.service.conftest import INSTANCE, PASSWORD, Driver, Response, populate, settings_for

P = "/services/aizen/"
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


class _User(RequestHandler):
    def get(self) -> None:
        token = self.request.headers["Authorization"].removeprefix("token ")
        name = self.settings["tokens"].get(token)
        if name is None:
            self.set_status(403)
            return
        scopes = ["access:services!service=aizen"]
        self.write(
            {"name": name, "kind": "user", "token_id": "a1", "session_id": f"session-of-{name}", "scopes": scopes}
        )


class _Token(RequestHandler):
    """Takes each code once, from the client whose it is, with the verifier that it was asked with."""

    def post(self) -> None:
        form = {name: self.get_body_argument(name) for name in self.request.body_arguments}
        self.settings["asked"].append(form)
        if form["client_secret"] != "secret of the service" or form["code"] not in self.settings["codes"]:
            self.set_status(400)
            return
        self.write({"access_token": self.settings["codes"].pop(form["code"])})


class Hub:
    def __init__(self) -> None:
        self.tokens: dict[str, str] = {}
        self.codes: dict[str, str] = {}
        self.asked: list[dict[str, str]] = []
        sockets = bind_sockets(0, "127.0.0.1")
        self.url = f"http://127.0.0.1:{sockets[0].getsockname()[1]}/hub/api"
        self.server = HTTPServer(
            Application(
                [("/hub/api/user", _User), ("/hub/api/oauth2/token", _Token)],
                tokens=self.tokens,
                codes=self.codes,
                asked=self.asked,
            )
        )
        self.server.add_sockets(sockets)

    def environ(self, **more: str) -> dict[str, str]:
        return {
            "JUPYTERHUB_API_URL": self.url,
            "JUPYTERHUB_CLIENT_ID": "service-aizen",
            "JUPYTERHUB_API_TOKEN": "secret of the service",
            **more,
        }


@pytest.fixture
async def hub() -> AsyncIterator[Hub]:
    found = Hub()
    yield found
    found.server.stop()
    await found.server.close_all_connections()


async def start(tmp_path: Path, hub: Hub, **environ: str) -> Driver:
    house = build(settings_for(tmp_path), instance=INSTANCE, environ=hub.environ(**environ))
    server = Server(house, "127.0.0.1", 0)
    await server.start()
    return Driver(server)


@pytest.fixture
async def whole(tmp_path: Path, hub: Hub) -> AsyncIterator[Driver]:
    driver = await start(tmp_path, hub)
    populate(driver.house)
    yield driver
    driver.close()
    await driver.server.stop()


class Window:
    """A browser as far as cookies go."""

    def __init__(self, driver: Driver, hub: Hub, **headers: str) -> None:
        self.driver, self.hub, self.headers = driver, hub, headers
        self.cookies: dict[str, str] = {}

    async def get(self, page: str, **headers: str) -> Response:
        return await self._send("GET", P + page, None, headers)

    async def post(self, page: str, form: dict[str, str], **headers: str) -> Response:
        return await self._send("POST", P + page, urlencode(form).encode(), FORM | headers)

    async def api(self, method: str, path: str, body: Any = None, **headers: str) -> Response:
        return await self.driver.call(method, P + "api/v1" + path, body, headers=self._with(headers))

    async def _send(self, method: str, path: str, raw: bytes | None, headers: dict[str, str]) -> Response:
        answer = await self.driver.call(method, path, raw=raw, headers=self._with(headers))
        for line in answer.headers.get_list("Set-Cookie"):
            name, _, rest = line.partition("=")
            self.cookies[name] = rest.partition(";")[0]
        return answer

    def _with(self, headers: dict[str, str]) -> dict[str, str]:
        cookie = "; ".join(f"{name}={value}" for name, value in self.cookies.items() if value)
        return {**self.headers, **({"Cookie": cookie} if cookie else {}), **headers}

    async def begin(self, page: str = "") -> dict[str, str]:
        answer = await self.get(page)
        assert answer.status == 302, answer.body
        to = urlsplit(answer.headers["Location"])
        assert to.path == "/hub/api/oauth2/authorize"
        return {name: values[0] for name, values in parse_qs(to.query).items()}

    async def come_back(self, state: str, name: str, at: Driver | None = None) -> Response:
        self.hub.tokens[f"token-of-{name}"] = name
        self.hub.codes["a-code"] = f"token-of-{name}"
        self.driver = at or self.driver
        return await self.get("oauth_callback?" + urlencode({"code": "a-code", "state": state}))

    async def sign_in(self, name: str, page: str = "") -> str:
        """Sign in; returns the XSRF token of the pages."""
        begun = await self.begin(page)
        answer = await self.come_back(begun["state"], name)
        assert answer.status == 302, answer.body
        assert answer.headers["Location"] == P + page
        return await self.xsrf()

    async def xsrf(self) -> str:
        found = re.search(rb'name="xsrf" value="([^"]+)"', (await self.get("")).body)
        assert found is not None
        return found.group(1).decode()


@pytest.fixture
def window(whole: Driver, hub: Hub) -> Window:
    return Window(whole, hub)


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


class TestFresh:
    async def _report(self, whole: Driver, **more: Any) -> Response:
        session = hash_credential("session-of-boss")
        body = {"user": "boss", "provider": "local", "subject": "boss", "session": session}
        return await whole.hub("POST", "/login/fresh", {**body, **more})

    async def _pending(self, whole: Driver) -> str:
        session = await whole.open("boss", None)
        users = json.dumps([{"id": "nova", "roles": ["AIZEN_ADMIN"]}])
        answer = await whole.command(session, "add users new.json", files={"new.json": users})
        assert answer.status == 202, answer.body
        return str(answer.json["result"]["data"]["pending"])

    @pytest.mark.proves("R77")
    async def test_a_change_is_confirmed_after_a_fresh_sign_in_only(self, window: Window, whole: Driver) -> None:
        number = await self._pending(whole)
        token = await window.sign_in("boss")
        page = await window.get(f"waiting/{number}")
        assert page.status == 200
        assert b"nova" in page.body
        assert b"manage:users" in page.body or b"*" in page.body, "what is gained, also before the account is activated"
        assert b"aizen-again" in page.body
        refused = await window.post(f"waiting/{number}/confirm", {"xsrf": token})
        assert refused.status == 403
        assert b"aizen/confirm?page=waiting" in refused.body
        assert (await self._report(whole)).status == 200
        done = await window.post(f"waiting/{number}/confirm", {"xsrf": token})
        assert done.status == 200, done.body
        with whole.house.store.read() as tx:
            assert {one.role for one in tx.rights(Identity.user("nova")).held} >= {"AIZEN_ADMIN"}

    @pytest.mark.proves("R77")
    @pytest.mark.parametrize(
        "more", [{"session": hash_credential("another")}, {"authenticated_at": 1_700_000_000.0}], ids=["session", "old"]
    )
    async def test_of_another_browser_or_too_long_ago(
        self, window: Window, whole: Driver, more: dict[str, Any]
    ) -> None:
        number = await self._pending(whole)
        token = await window.sign_in("boss")
        assert (await self._report(whole, **more)).status == 200
        assert (await window.post(f"waiting/{number}/confirm", {"xsrf": token})).status == 403

    async def test_of_somebody_else(self, whole: Driver) -> None:
        for more in ({"subject": "nil"}, {"user": "nil"}, {"provider": "other"}):
            assert (await self._report(whole, **more)).status == 403
        kernel = await whole.open("boss", None)
        body = {"user": "boss", "provider": "local", "subject": "boss", "session": hash_credential("session-of-boss")}
        assert (await whole.call("POST", "/api/v1/login/fresh", body, auth=kernel.auth)).status == 401

    async def test_a_further_login_is_linked_by_somebody_who_proved_both(self, window: Window, whole: Driver) -> None:
        link = {"user": "boss", "provider": "local", "subject": "second", "session": hash_credential("session-of-boss")}
        assert (await whole.hub("POST", "/login/link", link)).status == 403, "no fresh sign-in"
        await self._report(whole)
        assert (await whole.hub("POST", "/login/link", {**link, "subject": "eve"})).status == 409
        assert (await whole.hub("POST", "/login/link", link)).status == 200
        report = {"provider": "local", "subject": "second", "name": "whoever", "groups": None}
        assert (await whole.hub("POST", "/login", report)).json["user"] == "boss"


class TestAccount:
    async def _check(self, whole: Driver, password: str, totp: str | None = None) -> str:
        body = {"provider": "local", "name": "nil", "password": password} | ({"totp": totp} if totp else {})
        return str((await whole.hub("POST", "/login/password", body)).json["outcome"])

    async def test_a_new_password_needs_the_present_one(self, window: Window, whole: Driver) -> None:
        token = await window.sign_in("nil")
        form = {"present": "wrong", "password": "another long secret", "again": "another long secret", "xsrf": token}
        assert (await window.post("account/password", form)).status == 403
        assert await self._check(whole, PASSWORD) == "verified"
        assert (await window.post("account/password", {**form, "present": PASSWORD})).status == 303
        assert await self._check(whole, PASSWORD) == "refused"
        assert await self._check(whole, "another long secret") == "verified"

    async def test_a_reset_voids_the_old_password_when_it_is_used(self, window: Window, whole: Driver) -> None:
        token = await window.sign_in("boss")
        links = []
        for _ in range(2):
            page = await window.post("sessions/reset", {"user": "nil", "xsrf": token})
            links.append(re.search(rb"activate#([A-Za-z0-9_-]+)", page.body).group(1).decode())  # type: ignore[union-attr]
        assert await self._check(whole, PASSWORD) == "verified"
        redeem = {"password": "another long secret"}
        assert (await whole.call("POST", "/api/v1/activate", {**redeem, "token": links[0]})).status == 401, "void"
        assert (await whole.call("POST", "/api/v1/activate", {**redeem, "token": links[1]})).status == 204
        assert (await whole.call("POST", "/api/v1/activate", {**redeem, "token": links[1]})).status == 401, "used"
        assert await self._check(whole, PASSWORD) == "refused"

    async def test_a_code_is_needed_and_good_once(self, window: Window, whole: Driver) -> None:
        token = await window.sign_in("nil")
        session = hash_credential("session-of-nil")
        assert (await window.post("account/codes", {"xsrf": token})).status == 403, "no fresh sign-in"
        fresh = {"user": "nil", "provider": "local", "subject": "nil", "session": session}
        assert (await whole.hub("POST", "/login/fresh", fresh)).status == 200
        page = (await window.post("account/codes", {"xsrf": token})).body.decode()
        codes = pyotp.TOTP(re.search(r'id="aizen-totp">([A-Z2-7]+)<', page).group(1))  # type: ignore[union-attr]
        sealed = re.search(r'name="sealed" value="([^"]+)"', page).group(1)  # type: ignore[union-attr]
        form = {"xsrf": token, "sealed": sealed}
        assert (await window.post("account/codes/on", {**form, "code": "000000"})).status in (303, 403)
        used = codes.now()
        assert (await window.post("account/codes/on", {**form, "code": used})).status == 303
        assert await self._check(whole, PASSWORD) == "refused"
        assert await self._check(whole, PASSWORD, used) == "refused"
        later = codes.at(time.time() + 30)
        assert await self._check(whole, PASSWORD, later) == "verified"
        assert await self._check(whole, PASSWORD, later) == "refused"
        assert (await window.post("account/codes/off", {"xsrf": token})).status == 303
        assert await self._check(whole, PASSWORD) == "verified"
