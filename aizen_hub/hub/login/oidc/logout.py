"""Logout with an OIDC provider: back-channel logout, and the redirect that ends the session there."""

from __future__ import annotations

import json
from typing import Any

from jupyterhub import orm
from jupyterhub.handlers import LogoutHandler
from tornado import web

from aizen_hub.hub.login.auth_state import SavedLogin
from aizen_hub.hub.login.login_page import public_url
from aizen_hub.hub.login.oidc.provider import OidcProvider
from aizen_hub.hub.login.provider import LoginError, ProviderUnreachableError
from aizen_hub.hub.spawn.revocation_handler import sign_out
from aizen_hub.hub.spawn.server_monitor import ServerMonitor

MAX_BODY = 128 * 1024


class BackchannelLogoutHandler(web.RequestHandler):
    """``/hub/oidc/<name>/backchannel-logout`` (OpenID Connect Back-Channel Logout 1.0).

    Ends what the login started (R46): browser sessions, hub tokens, and server sessions, whose servers stop; with
    ``logout_ends_servers: false`` browser sessions only. Where the token names a user, all browser sessions end: the
    hub stores one login for each user, and cannot tell which browser a session of the provider belongs to.
    """

    def initialize(self, provider: OidcProvider, app: Any, monitor: ServerMonitor) -> None:
        self._provider = provider
        self._app = app
        self._monitor = monitor

    def check_xsrf_cookie(self) -> None:
        """Do nothing: requests are authenticated by the signed token, not by a cookie."""

    async def post(self) -> None:
        self.set_header("Cache-Control", "no-store")
        tokens = self.get_body_arguments("logout_token", strip=False) if len(self.request.body) <= MAX_BODY else []
        if len(tokens) != 1:
            self._refuse(400, "exactly one `logout_token` is needed")
            return
        try:
            subject, sid = await self._provider.verify_logout_token(tokens[0])
        except ProviderUnreachableError as error:
            self._refuse(503, str(error))
            return
        except LoginError as error:
            self._refuse(400, str(error))
            return
        for name in await self._affected_users(subject, sid):
            await self._end_logins(name)
        self.finish()

    def _refuse(self, status: int, message: str) -> None:
        self.set_status(status)
        self.set_header("Content-Type", "application/json")
        self.finish(json.dumps({"error": "invalid_request", "error_description": message}))

    async def _affected_users(self, subject: str | None, sid: str | None) -> list[str]:
        # The hub has no index of subjects and must decrypt every saved login; logouts are rare and signed.
        names = []
        for orm_user in self._app.db.query(orm.User).filter(orm.User.encrypted_auth_state.isnot(None)).all():
            saved = await SavedLogin.load(self._app.users[orm_user])
            if saved is None or saved.provider != self._provider.name:
                continue
            if (
                saved.subject == subject
                if subject is not None
                else sid is not None and saved.provider_state.get("sid") == sid
            ):
                names.append(orm_user.name)
        return names

    async def _end_logins(self, name: str) -> None:
        orm_user = orm.User.find(self._app.db, name)
        if orm_user is None:
            return
        everything = bool(self._provider.traits.logout_ends_servers)
        sign_out(self._app, orm_user, all_tokens=everything)
        if everything:
            await self._monitor.end_sessions(name, "signed out at the provider")
        self._app.log.warning("provider `%s` signed out `%s`", self._provider.name, name)


class OidcLogoutHandler(LogoutHandler):
    """``/hub/logout``: redirects to the logout of the provider that signed the user in."""

    _provider_url: str | None = None

    async def get(self) -> None:
        user = self.current_user
        if user is not None:
            self._provider_url = await self.authenticator.provider_logout_url(user, public_url(self, "login"))
        await super().get()

    async def render_logout_page(self) -> None:
        if self._provider_url:
            self.redirect(self._provider_url, permanent=False)
        else:
            await super().render_logout_page()
