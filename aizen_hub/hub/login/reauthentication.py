"""Pages of the hub for somebody who is signed in: sign in again with the same provider, or prove a further login.

The hub is the only one who can tell that the same person sits at the same browser, so it reports to the service: who,
by which provider, when, in which browser session (R77). Passwords go to the provider and nowhere else.
"""

from __future__ import annotations

import json
import re
import time
from typing import Any

from jupyterhub.handlers import BaseHandler
from jupyterhub.utils import url_path_join
from tornado import web

from aizen_hub.hub.login.auth_state import KeptSignIn
from aizen_hub.hub.login.oidc.provider import OidcProvider
from aizen_hub.hub.login.provider import LoginFailed, PasswordProvider, Proof, Provider, Throttled, WrongCredentials
from aizen_hub.hub.login.throttled_provider import Counted
from aizen_hub.problems import Problem
from aizen_hub.tokens.opaque_token import hash_credential
from aizen_hub.validation import strict_json

LINKING = "aizen-linking"
_LINK_SECONDS = 600
_PAGE = re.compile(r"(?:[a-z]{1,20}(?:/[A-Za-z0-9-]{1,64})?)?")
_WRONG = "that was not right; try again"


class SignedInPage(BaseHandler):
    """What these pages share: whose browser it is, and the way back to the service."""

    def initialize(self, service: str) -> None:
        self._service = service

    async def known(self) -> tuple[Provider, KeptSignIn]:
        """Return the provider that signed this person in, and what it said."""
        known = await KeptSignIn.of_user(self.current_user)
        provider = self.authenticator.providers.get(known.provider) if known is not None else None
        if provider is None or known is None:
            raise web.HTTPError(403, "Nobody can tell how you signed in. Sign out, and sign in again.")
        return provider, known

    @property
    def session(self) -> str:
        """SHA-256 of the id of this browser session, as the service knows it from the hub's tokens."""
        found = self.get_session_cookie()
        if not found:
            raise web.HTTPError(403, "Your browser sent no session. Allow cookies, sign out, and sign in again.")
        return hash_credential(found)

    def page(self) -> str:
        """Return the page of the service to go back to: a name, never an address from outside (R120)."""
        given = self.get_query_argument("page", "")
        if not _PAGE.fullmatch(given):
            raise web.HTTPError(400, "There is no such page.")
        return given

    def back_to(self, page: str, query: str = "") -> str:
        """Return the address of a page of the service, on the service's own host where it has one."""
        return str(self.services[self._service].href).rstrip("/") + "/" + page + query

    def form(self, title: str, provider: Provider, *, account: str | None, fault: str | None = None) -> Any:
        """Return the page that asks for a password; ``account`` is None where it is asked too."""
        return self.render_template(
            "again.html",
            title=title,
            provider=provider,
            account=account,
            fault=fault,
            codes=provider.name in self.authenticator.local_names(),
            action=self.request.uri,
        )

    async def prove(self, provider: PasswordProvider, name: str) -> Proof | str:
        """Return the proof of the password in the form, or what to say."""
        password = self.get_body_argument("password", "", strip=False)
        code = self.get_body_argument("otp", "") or None
        try:
            source = self.authenticator.source(self)
            proof = await provider.prove(name, password, totp=code, source=source)
            if isinstance(provider, Counted):
                # No login report follows that would take the count of this attempt back.
                await provider.take_back(name, source)
            return proof
        except Throttled as error:
            return f"too many failed attempts; try again in {max(1, round(error.retry_after))} seconds"
        except WrongCredentials:
            return _WRONG
        except LoginFailed as error:
            return str(error)

    def to_provider(self, provider: OidcProvider, onward: str) -> None:
        """Send the browser to a provider that signs in at its own pages, as if it knew nobody."""
        begin = url_path_join(self.hub.base_url, f"oidc/{provider.name}/login")
        self.redirect(f"{begin}?fresh=1&next={onward}", permanent=False)


class ConfirmPage(SignedInPage):
    """``/hub/aizen/confirm?page=…``: the person signs in again, and goes back to that page of the service."""

    _TITLE = "Sign in again"

    @web.authenticated
    async def get(self) -> None:
        page = self.page()
        if self.get_query_argument("back", ""):
            self.redirect(self.back_to(page), permanent=False)
            return
        provider, known = await self.known()
        _ = self.session
        if isinstance(provider, OidcProvider):
            onward = url_path_join(self.hub.base_url, "aizen/confirm") + f"%3Fback=1%26page={page}"
            self.to_provider(provider, onward)
            return
        self.finish(await self.form(self._TITLE, provider, account=known.name))

    @web.authenticated
    async def post(self) -> None:
        page, (provider, known) = self.page(), await self.known()
        if not isinstance(provider, PasswordProvider):
            raise web.HTTPError(405)
        proof = await self.prove(provider, known.name)
        fault = proof if isinstance(proof, str) else None
        if isinstance(proof, Proof):
            fault = await report_fresh(self, known, proof)
        if fault is not None:
            self.set_status(403)
            self.finish(await self.form(self._TITLE, provider, account=known.name, fault=fault))
            return
        self.redirect(self.back_to(page), permanent=False)


class LinkPage(SignedInPage):
    """``/hub/aizen/link?provider=…``: a signed-in person proves a login of another provider, which is then theirs too.

    The service asks for a fresh sign-in with the login known so far, in the same browser session.
    """

    _TITLE = "Link a further login"

    @web.authenticated
    async def get(self) -> None:
        further, (_, known) = self._further(), await self.known()
        if self.get_query_argument("back", ""):
            self.redirect(self.back_to("account"), permanent=False)
            return
        self._other(further, known)
        self.finish(await self.form(self._TITLE, further, account="" if isinstance(further, OidcProvider) else None))

    @web.authenticated
    async def post(self) -> None:
        further, (_, known) = self._further(), await self.known()
        self._other(further, known)
        if isinstance(further, OidcProvider):
            intent = {"provider": further.name, "user": self.current_user.name, "at": int(time.time())}
            self._set_cookie(
                LINKING,
                json.dumps(intent),
                path=url_path_join(self.hub.base_url, f"oidc/{further.name}/"),
                max_age=_LINK_SECONDS,
                expires_days=None,
                samesite="Lax",
            )
            onward = url_path_join(self.hub.base_url, "aizen/link") + f"%3Fback=1%26provider={further.name}"
            self.to_provider(further, onward)
            return
        assert isinstance(further, PasswordProvider)
        proof = await self.prove(further, self.get_body_argument("username", ""))
        fault = proof if isinstance(proof, str) else await report_link(self, proof)
        if fault is not None:
            self.set_status(403)
            self.finish(await self.form(self._TITLE, further, account=None, fault=fault))
            return
        self.redirect(self.back_to("account", "?done=linked"), permanent=False)

    def _further(self) -> Provider:
        found = self.authenticator.providers.get(self.get_query_argument("provider", ""))
        if found is None:
            raise web.HTTPError(404, "There is no such provider.")
        provider: Provider = found
        return provider

    @staticmethod
    def _other(further: Provider, known: KeptSignIn) -> None:
        if further.name == known.provider:
            raise web.HTTPError(400, "You are signed in with this one.")


async def report_fresh(handler: Any, known: KeptSignIn, proof: Proof) -> str | None:
    """Tell the service of a fresh sign-in of whoever is signed in at this browser; return what to say if it failed."""
    if (proof.provider, proof.subject) != (known.provider, known.subject):
        return "that is somebody else's account; sign out first to become somebody else"
    more = {} if proof.authenticated_at is None else {"authenticated_at": proof.authenticated_at}
    return await _tell(handler, "/api/v1/login/fresh", proof, more)


async def report_link(handler: Any, proof: Proof) -> str | None:
    """Have the service link a proven login to whoever is signed in at this browser; return what to say if it failed."""
    return await _tell(handler, "/api/v1/login/link", proof, {})


def linking(handler: Any, provider: str) -> bool:
    """Whether this browser set out a moment ago to link a login of that provider; asked once."""
    cookie = handler.get_secure_cookie(LINKING, max_age_days=1)
    if cookie is None:
        return False
    handler.clear_cookie(LINKING, path=url_path_join(handler.hub.base_url, f"oidc/{provider}/"))
    try:
        intent = strict_json.loads(cookie, max_bytes=1024)
    except Problem:
        return False
    return (
        isinstance(intent, dict)
        and intent.get("provider") == provider
        and intent.get("user") == handler.current_user.name
        and 0 <= time.time() - float(intent.get("at", 0)) <= _LINK_SECONDS
    )


async def _tell(handler: Any, path: str, proof: Proof, more: dict[str, Any]) -> str | None:
    session = handler.get_session_cookie()
    if not session:
        return "your browser sent no session; sign out, and sign in again"
    body = {
        "user": handler.current_user.name,
        "provider": proof.provider,
        "subject": proof.subject,
        "session": hash_credential(session),
        "source": handler.authenticator.source(handler),
        **more,
    }
    try:
        await handler.authenticator.road.call("POST", path, body)
    except Problem as error:
        handler.log.warning("%s of `%s`: %s", path, handler.current_user.name, error.detail)
        return error.detail
    return None


def handlers(service: str) -> list[tuple[Any, ...]]:
    """Return these pages, for `Authenticator.get_handlers`."""
    shared = {"service": service}
    return [(r"/aizen/confirm", ConfirmPage, shared), (r"/aizen/link", LinkPage, shared)]
