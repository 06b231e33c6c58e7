"""Signing out with an OIDC provider: its word that a session ended there, and the way to end it there from here."""

from __future__ import annotations

import json
from typing import Any

from jupyterhub import orm
from jupyterhub.handlers import LogoutHandler
from tornado import web

from aizen_hub.hub.login.auth_state import KeptSignIn
from aizen_hub.hub.login.login_page import public_address
from aizen_hub.hub.login.oidc.provider import OidcProvider
from aizen_hub.hub.login.provider import LoginFailed, ProviderUnreachable
from aizen_hub.hub.spawn.revocation_handler import sign_out
from aizen_hub.hub.spawn.server_monitor import ServerLife

MAX_BODY = 128 * 1024


class OidcBackchannel(web.RequestHandler):
    """``/hub/oidc/<name>/backchannel-logout`` (OpenID Connect Back-Channel Logout 1.0).

    Ends what the sign-in opened (R46): browser sessions, hub tokens, and the sessions of servers, which stop; with
    ``logout_ends_servers: false`` browser sessions alone. Where the token names a person, all of theirs end: the hub
    keeps one sign-in of each, and cannot tell which of several browsers one session of the provider belongs to.
    """

    def initialize(self, provider: OidcProvider, app: Any, life: ServerLife) -> None:
        self._provider = provider
        self._app = app
        self._life = life

    def check_xsrf_cookie(self) -> None:
        """Nothing here: the signed token is what counts at this address, no cookie."""

    async def post(self) -> None:
        self.set_header("Cache-Control", "no-store")
        tokens = self.get_body_arguments("logout_token", strip=False) if len(self.request.body) <= MAX_BODY else []
        if len(tokens) != 1:
            self._refuse(400, "exactly one `logout_token` is needed")
            return
        try:
            subject, sid = await self._provider.read_logout(tokens[0])
        except ProviderUnreachable as error:
            self._refuse(503, str(error))
            return
        except LoginFailed as error:
            self._refuse(400, str(error))
            return
        for name in await self._people(subject, sid):
            await self._end(name)
        self.finish()

    def _refuse(self, status: int, sentence: str) -> None:
        self.set_status(status)
        self.set_header("Content-Type", "application/json")
        self.finish(json.dumps({"error": "invalid_request", "error_description": sentence}))

    async def _people(self, subject: str | None, sid: str | None) -> list[str]:
        # The hub keeps no index of subjects, and has to read what it stores encrypted; logouts are rare and signed.
        found = []
        for orm_user in self._app.db.query(orm.User).filter(orm.User.encrypted_auth_state.isnot(None)).all():
            known = await KeptSignIn.of_user(self._app.users[orm_user])
            if known is None or known.provider != self._provider.name:
                continue
            if known.subject == subject if subject is not None else sid is not None and known.keep.get("sid") == sid:
                found.append(orm_user.name)
        return found

    async def _end(self, name: str) -> None:
        orm_user = orm.User.find(self._app.db, name)
        if orm_user is None:
            return
        everything = bool(self._provider.traits.logout_ends_servers)
        sign_out(self._app, orm_user, everything=everything)
        if everything:
            await self._life.end_all(name, "signed out at the provider")
        self._app.log.warning("provider `%s` signed `%s` out", self._provider.name, name)


class OidcLogout(LogoutHandler):
    """``/hub/logout``: delegates to the provider that signed the person in."""

    _elsewhere: str | None = None

    async def get(self) -> None:
        user = self.current_user
        if user is not None:
            self._elsewhere = await self.authenticator.logout_address(user, public_address(self, "login"))
        await super().get()

    async def render_logout_page(self) -> None:
        if self._elsewhere:
            self.redirect(self._elsewhere, permanent=False)
        else:
            await super().render_logout_page()
