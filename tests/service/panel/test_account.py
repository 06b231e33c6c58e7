"""Fresh sign-ins and what hangs on them: waiting changes, further logins, passwords and codes."""

from __future__ import annotations

import json
import re
import time
from typing import Any

import pyotp
import pytest

from aizen_hub.rbac.identity import Identity
from aizen_hub.tokens.opaque_token import hash_credential
from tests.service.conftest import PASSWORD, Driver, Response
from tests.service.panel.window import Window


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
        link = {"user": "boss", "provider": "lab", "subject": "second", "session": hash_credential("session-of-boss")}
        assert (await whole.hub("POST", "/login/link", link)).status == 403, "no fresh sign-in"
        await self._report(whole)
        own = {**link, "provider": "local", "subject": "eve"}
        assert (await whole.hub("POST", "/login/link", own)).status == 400, "a local account is a user of its own"
        assert (await whole.hub("POST", "/login/link", link)).status == 200
        assert (await whole.hub("POST", "/login/link", link)).status == 409, "it is somebody's now"
        report = {"provider": "lab", "subject": "second", "name": "whoever", "groups": None}
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
