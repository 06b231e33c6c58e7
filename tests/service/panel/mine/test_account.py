"""Recent sign-ins and what requires them: pending changes, linked logins, passwords and second factors."""

from __future__ import annotations

import html
import json
import re
import time
from typing import Any

import pyotp
import pytest

from aizen_hub.accounts import identities
from aizen_hub.rbac.identity import Identity
from aizen_hub.service.panel.mine.qr_code import QrCode
from aizen_hub.tokens.opaque_token import hash_credential
from tests.service.conftest import PASSWORD, Driver, Response
from tests.service.panel.window import Window


class TestRecentLogin:
    async def _report(self, hub_service: Driver, **more: Any) -> Response:
        session = hash_credential("session-of-boss")
        body = {"user": "boss", "provider": "local", "subject": "boss", "session": session}
        return await hub_service.hub("POST", "/login/recent", {**body, **more})

    async def _pending(self, hub_service: Driver) -> str:
        session = await hub_service.open("boss", None)
        users = json.dumps([{"id": "nova", "roles": ["AIZEN_ADMIN"]}])
        response = await hub_service.command(session, "add users new.json", files={"new.json": users})
        assert response.status == 202, response.body
        return str(response.json["result"]["data"]["pending"])

    @pytest.mark.proves("R77")
    async def test_a_change_is_confirmed_only_after_a_recent_sign_in(self, window: Window, hub_service: Driver) -> None:
        change_id = await self._pending(hub_service)
        token = await window.sign_in("boss")
        page = await window.get(f"changes/{change_id}")
        assert page.status == 200
        assert b"nova" in page.body
        assert b"manage:users" in page.body or b"*" in page.body, (
            "the gained rights are shown before the account is activated"
        )
        assert b"aizen-sign-in-again" in page.body
        refused = await window.post(f"changes/{change_id}/confirm", {"xsrf": token})
        assert refused.status == 403
        assert b"aizen/confirm?page=changes" in refused.body
        assert (await self._report(hub_service)).status == 200
        done = await window.post(f"changes/{change_id}/confirm", {"xsrf": token})
        assert done.status == 200, done.body
        with hub_service.context.store.read() as tx:
            assert {held.role for held in tx.rights(Identity.user("nova")).held_roles} >= {"AIZEN_ADMIN"}

    @pytest.mark.proves("R77")
    @pytest.mark.parametrize(
        "more", [{"session": hash_credential("another")}, {"authenticated_at": 1_700_000_000.0}], ids=["session", "old"]
    )
    async def test_a_sign_in_of_another_browser_or_too_long_ago_does_not_count(
        self, window: Window, hub_service: Driver, more: dict[str, Any]
    ) -> None:
        change_id = await self._pending(hub_service)
        token = await window.sign_in("boss")
        assert (await self._report(hub_service, **more)).status == 200
        assert (await window.post(f"changes/{change_id}/confirm", {"xsrf": token})).status == 403

    async def test_a_sign_in_of_another_user_is_refused(self, hub_service: Driver) -> None:
        for more in ({"subject": "nil"}, {"user": "nil"}, {"provider": "other"}):
            assert (await self._report(hub_service, **more)).status == 403
        kernel = await hub_service.open("boss", None)
        body = {"user": "boss", "provider": "local", "subject": "boss", "session": hash_credential("session-of-boss")}
        assert (await hub_service.call("POST", "/api/v1/login/recent", body, auth=kernel.auth)).status == 401

    async def test_a_further_login_is_linked_after_signing_in_with_both(
        self, window: Window, hub_service: Driver
    ) -> None:
        link = {"user": "boss", "provider": "lab", "subject": "second", "session": hash_credential("session-of-boss")}
        assert (await hub_service.hub("POST", "/login/link", link)).status == 403, "no recent sign-in"
        await self._report(hub_service)
        own = {**link, "provider": "local", "subject": "eve"}
        assert (await hub_service.hub("POST", "/login/link", own)).status == 400, "a local account is a user of its own"
        assert (await hub_service.hub("POST", "/login/link", link)).status == 200
        assert (await hub_service.hub("POST", "/login/link", link)).status == 409, "it is linked already"
        report = {"provider": "lab", "subject": "second", "name": "other", "groups": None}
        assert (await hub_service.hub("POST", "/login", report)).json["user"] == "boss"


class TestAccount:
    async def _check(self, hub_service: Driver, password: str, totp: str | None = None) -> str:
        body = {"provider": "local", "name": "nil", "password": password} | ({"totp": totp} if totp else {})
        return str((await hub_service.hub("POST", "/login/password", body)).json["outcome"])

    async def test_a_new_password_needs_the_current_one(self, window: Window, hub_service: Driver) -> None:
        token = await window.sign_in("nil")
        form = {"current": "wrong", "password": "another long secret", "repeated": "another long secret", "xsrf": token}
        refused = await window.post("account/password", form)
        assert refused.status == 422
        assert b'id="current-error"' in refused.body
        assert b"another long secret" not in refused.body, "a password is never sent back"
        assert await self._check(hub_service, PASSWORD) == "verified"
        assert (await window.post("account/password", {**form, "current": PASSWORD})).status == 303
        assert await self._check(hub_service, PASSWORD) == "refused"
        assert await self._check(hub_service, "another long secret") == "verified"

    async def test_an_activation_link_replaces_the_password_when_it_is_used(
        self, window: Window, hub_service: Driver
    ) -> None:
        token = await window.sign_in("boss")
        links = []
        for _ in range(2):
            page = await window.post("people/nil/link", {"xsrf": token})
            links.append(re.search(rb"activate#([A-Za-z0-9_-]+)", page.body).group(1).decode())  # type: ignore[union-attr]
        assert await self._check(hub_service, PASSWORD) == "verified"
        redeem = {"password": "another long secret"}
        assert (await hub_service.call("POST", "/api/v1/activate", {**redeem, "token": links[0]})).status == 401, (
            "replaced"
        )
        assert (await hub_service.call("POST", "/api/v1/activate", {**redeem, "token": links[1]})).status == 204
        assert (await hub_service.call("POST", "/api/v1/activate", {**redeem, "token": links[1]})).status == 401, "used"
        assert await self._check(hub_service, PASSWORD) == "refused"

    async def test_a_code_is_required_and_valid_once(self, window: Window, hub_service: Driver) -> None:
        token = await window.sign_in("nil")
        session = hash_credential("session-of-nil")
        assert (await window.post("account/codes", {"xsrf": token})).status == 403, "no recent sign-in"
        recent = {"user": "nil", "provider": "local", "subject": "nil", "session": session}
        assert (await hub_service.hub("POST", "/login/recent", recent)).status == 200
        page = (await window.post("account/codes", {"xsrf": token})).body.decode()
        codes = pyotp.TOTP(re.search(r'id="aizen-totp">([A-Z2-7]+)<', page).group(1))  # type: ignore[union-attr]
        encrypted = re.search(r'name="encrypted_secret" value="([^"]+)"', page).group(1)  # type: ignore[union-attr]
        form = {"xsrf": token, "encrypted_secret": encrypted}
        accepted = {codes.at(time.time() + offset) for offset in (-60, -30, 0, 30, 60)}
        wrong = next(
            code for code in ("000000", "000001", "000002", "000003", "000004", "000005") if code not in accepted
        )
        assert (await window.post("account/codes/on", {**form, "code": wrong})).status in (303, 403)
        used = codes.now()
        enabled = await window.post("account/codes/on", {**form, "code": used})
        assert enabled.status == 200
        recovery = re.findall(r"<code class=\"aizen-secret\">([a-z0-9-]{14})</code>", enabled.body.decode())
        assert len(set(recovery)) == 10
        assert await self._check(hub_service, PASSWORD) == "refused"
        assert await self._check(hub_service, PASSWORD, used) == "refused"
        later = codes.at(time.time() + 30)
        assert await self._check(hub_service, PASSWORD, later) == "verified"
        assert await self._check(hub_service, PASSWORD, later) == "refused"
        assert await self._check(hub_service, PASSWORD, recovery[3].upper()) == "verified"
        assert await self._check(hub_service, PASSWORD, recovery[3]) == "refused", "each works once"
        assert b"9 recovery codes are left" in (await window.get("account")).body
        renewed = (await window.post("account/codes/new", {"xsrf": token})).body.decode()
        (code, *_) = re.findall(r"<code class=\"aizen-secret\">([a-z0-9-]{14})</code>", renewed)
        assert await self._check(hub_service, PASSWORD, recovery[4]) == "refused", "the former ones have ended"
        assert await self._check(hub_service, PASSWORD, code) == "verified"
        assert (await window.post("account/codes/off", {"xsrf": token})).status == 303
        assert await self._check(hub_service, PASSWORD) == "verified"

    async def test_the_picture_is_the_key(self, window: Window, hub_service: Driver) -> None:
        token = await window.sign_in("nil")
        recent = {"user": "nil", "provider": "local", "subject": "nil", "session": hash_credential("session-of-nil")}
        assert (await hub_service.hub("POST", "/login/recent", recent)).status == 200
        page = html.unescape((await window.post("account/codes", {"xsrf": token})).body.decode())
        uri = re.search(r'href="(otpauth:[^"]*)"', page).group(1)  # type: ignore[union-attr]
        assert QrCode.of_text(uri).path in page

    async def test_the_profile_is_saved(self, window: Window, hub_service: Driver) -> None:
        token = await window.sign_in("nil")
        form = {"display_name": "Nil Nought", "email": "nil@x.example", "by_email": "on", "xsrf": token}
        assert (await window.post("account/profile", form)).status == 303
        page = (await window.get("account")).body.decode()
        assert 'value="Nil Nought"' in page
        with hub_service.context.store.read() as tx:
            assert identities.get_user(tx, "nil").alerts["email"] is True
        for wrong, field in (({"email": "nowhere"}, None), ({"email": ""}, "email"), ({"by_phone": "on"}, "phone")):
            answer = await window.post("account/profile", {**form, **wrong})
            assert answer.status == 422
            assert b"Nil Nought" in answer.body
            if field is not None:
                assert f'id="{field}-error"'.encode() in answer.body
