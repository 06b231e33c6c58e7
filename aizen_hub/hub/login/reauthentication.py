"""Pages for signed-in users: sign in again with the same provider, or link a login of another provider.

Only the hub can tell that both logins happened in the same browser, so it reports user, provider, time and browser
session to the service (R77). Passwords are sent to the provider only.
"""

from __future__ import annotations

import json
import re
import time
from typing import Any
from urllib.parse import quote

from jupyterhub.handlers import BaseHandler
from jupyterhub.utils import url_path_join
from tornado import web

from aizen_hub.hub.login.auth_state import SavedLogin
from aizen_hub.hub.login.oidc.provider import OidcProvider
from aizen_hub.hub.login.provider import (
    AuthenticatedIdentity,
    LoginError,
    PasswordProvider,
    Provider,
    ThrottledError,
    WrongCredentialsError,
)
from aizen_hub.hub.login.throttled_provider import ThrottledProvider
from aizen_hub.hub.service_outage import describe_outage
from aizen_hub.problems import Problem, Unavailable
from aizen_hub.tokens.opaque_token import hash_credential
from aizen_hub.validation import strict_json

LINK_COOKIE = "aizen-linking"
_LINK_SECONDS = 600
_PAGE_CHARACTERS = r"[A-Za-z0-9_.~%+,:=&?@-]"
# No address of another host, and none above the panel: browsers resolve `..`, also in its encoded form.
_PAGE_PATTERN = re.compile(rf"(?!.*(?:\.\.|%2[eE]))(?:[A-Za-z0-9]{_PAGE_CHARACTERS}*(?:/{_PAGE_CHARACTERS}+)*)?")
_MAX_PAGE = 500
_TRY_AGAIN = "the user name, the password or the code is wrong; try again"


class ReauthenticationHandler(BaseHandler):
    """Base of these pages: the saved login of the user, and the URL back to the service."""

    def initialize(self, service: str) -> None:
        self._service = service

    async def saved_login(self) -> tuple[Provider, SavedLogin]:
        """Return the provider that signed this user in, and the login it reported."""
        saved = await SavedLogin.load(self.current_user)
        provider = self.authenticator.providers.get(saved.provider) if saved is not None else None
        if provider is None or saved is None:
            raise web.HTTPError(403, "Your login is not known any more. Sign out, and sign in again.")
        return provider, saved

    @property
    def session_hash(self) -> str:
        """SHA-256 of the id of this browser session, which the service reads from the hub's tokens."""
        session_id = self.get_session_cookie()
        if not session_id:
            raise web.HTTPError(403, "Your browser sent no session. Allow cookies, sign out, and sign in again.")
        return hash_credential(session_id)

    def target_page(self) -> str:
        """Return the service's page to return to: a page name, never a URL from outside (R120)."""
        page = self.get_query_argument("page", "")
        if len(page) > _MAX_PAGE or not _PAGE_PATTERN.fullmatch(page):
            raise web.HTTPError(400, "There is no such page.")
        return page

    def service_page_url(self, page: str, query: str = "") -> str:
        """Return the URL of a page of the service, on the service's own host where it has one."""
        return str(self.services[self._service].href).rstrip("/") + "/" + page + query

    def render_form(self, title: str, provider: Provider, *, account: str | None, error: str | None = None) -> Any:
        """Return the page with the password form.

        Parameters
        ----------
        account : str or None
            The user name; None where the form asks for it too, empty where the provider has pages of its own.
        """
        return self.render_template(
            "reauthentication.html",
            title=title,
            provider=provider,
            account=account,
            error=error,
            codes=provider.name in self.authenticator.local_provider_names(),
            action=self.request.uri,
        )

    async def check_password(self, provider: PasswordProvider, name: str) -> AuthenticatedIdentity | str:
        """Check the password in the form; return the identity, or an error message for the user."""
        password = self.get_body_argument("password", "", strip=False)
        code = self.get_body_argument("otp", "") or None
        try:
            client_address = self.authenticator.client_address(self)
            identity = await provider.authenticate(name, password, totp=code, source=client_address)
            if isinstance(provider, ThrottledProvider):
                # No login report follows that would reset the count of this attempt.
                await provider.undo_attempt(name, client_address)
            return identity
        except ThrottledError as error:
            return f"too many failed attempts; try again in {max(1, round(error.retry_after))} seconds"
        except WrongCredentialsError:
            return _TRY_AGAIN
        except LoginError as error:
            return str(error)

    def redirect_to_provider(self, provider: OidcProvider, next_url: str) -> None:
        """Redirect to a provider with pages of its own, which must ask for credentials again."""
        login_url = url_path_join(self.hub.base_url, f"oidc/{provider.name}/login")
        self.redirect(f"{login_url}?fresh=1&next={next_url}", permanent=False)


class ConfirmHandler(ReauthenticationHandler):
    """``/hub/aizen/confirm?page=…``: the user signs in again, and returns to that page of the service."""

    _TITLE = "Sign in again"

    @web.authenticated
    async def get(self) -> None:
        page = self.target_page()
        if self.get_query_argument("back", ""):
            self.redirect(self.service_page_url(page), permanent=False)
            return
        provider, saved = await self.saved_login()
        _ = self.session_hash
        if isinstance(provider, OidcProvider):
            back = f"%3Fback=1%26page={quote(quote(page, safe=''))}"
            next_url = url_path_join(self.hub.base_url, "aizen/confirm") + back
            self.redirect_to_provider(provider, next_url)
            return
        self.finish(await self.render_form(self._TITLE, provider, account=saved.name))

    @web.authenticated
    async def post(self) -> None:
        page, (provider, saved) = self.target_page(), await self.saved_login()
        if not isinstance(provider, PasswordProvider):
            raise web.HTTPError(405)
        identity = await self.check_password(provider, saved.name)
        error = identity if isinstance(identity, str) else None
        if isinstance(identity, AuthenticatedIdentity):
            error = await report_recent_login(self, saved, identity)
        if error is not None:
            self.set_status(403)
            self.finish(await self.render_form(self._TITLE, provider, account=saved.name, error=error))
            return
        self.redirect(self.service_page_url(page), permanent=False)


class LinkHandler(ReauthenticationHandler):
    """``/hub/aizen/link?provider=…``: a signed-in user links a login of another provider.

    The service requires a recent login with an existing login of the user, in the same browser session.
    """

    _TITLE = "Link another login"

    @web.authenticated
    async def get(self) -> None:
        target, (_, saved) = self._target_provider(), await self.saved_login()
        if self.get_query_argument("back", ""):
            self.redirect(self.service_page_url("account"), permanent=False)
            return
        self._require_other_provider(target, saved)
        self.finish(
            await self.render_form(self._TITLE, target, account="" if isinstance(target, OidcProvider) else None)
        )

    @web.authenticated
    async def post(self) -> None:
        target, (_, saved) = self._target_provider(), await self.saved_login()
        self._require_other_provider(target, saved)
        if isinstance(target, OidcProvider):
            intent = {"provider": target.name, "user": self.current_user.name, "at": int(time.time())}
            self._set_cookie(
                LINK_COOKIE,
                json.dumps(intent),
                path=url_path_join(self.hub.base_url, f"oidc/{target.name}/"),
                max_age=_LINK_SECONDS,
                expires_days=None,
                samesite="Lax",
            )
            next_url = url_path_join(self.hub.base_url, "aizen/link") + f"%3Fback=1%26provider={target.name}"
            self.redirect_to_provider(target, next_url)
            return
        assert isinstance(target, PasswordProvider)
        identity = await self.check_password(target, self.get_body_argument("username", ""))
        error = identity if isinstance(identity, str) else await report_link(self, identity)
        if error is not None:
            self.set_status(403)
            self.finish(await self.render_form(self._TITLE, target, account=None, error=error))
            return
        self.redirect(self.service_page_url("account", "?done=linked"), permanent=False)

    def _target_provider(self) -> Provider:
        provider: Provider | None = self.authenticator.providers.get(self.get_query_argument("provider", ""))
        if provider is None:
            raise web.HTTPError(404, "There is no such provider.")
        return provider

    @staticmethod
    def _require_other_provider(target: Provider, saved: SavedLogin) -> None:
        if target.name == saved.provider:
            raise web.HTTPError(400, "You are signed in with this provider.")


async def report_recent_login(handler: Any, saved: SavedLogin, identity: AuthenticatedIdentity) -> str | None:
    """Report a recent login of the user of this browser; return an error message for the user if it failed."""
    if (identity.provider, identity.subject) != (saved.provider, saved.subject):
        return "that account belongs to another user; sign out first to switch users"
    extra = {} if identity.authenticated_at is None else {"authenticated_at": identity.authenticated_at}
    return await _report(handler, "/api/v1/login/recent", identity, extra)


async def report_link(handler: Any, identity: AuthenticatedIdentity) -> str | None:
    """Link a login to the user of this browser; return an error message for the user if it failed."""
    return await _report(handler, "/api/v1/login/link", identity, {})


def consume_link_intent(handler: Any, provider: str) -> bool:
    """Return whether this browser started to link a login of that provider; the intent is deleted."""
    cookie = handler.get_secure_cookie(LINK_COOKIE, max_age_days=1)
    if cookie is None:
        return False
    handler.clear_cookie(LINK_COOKIE, path=url_path_join(handler.hub.base_url, f"oidc/{provider}/"))
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


async def _report(handler: Any, path: str, identity: AuthenticatedIdentity, extra: dict[str, Any]) -> str | None:
    session_id = handler.get_session_cookie()
    if not session_id:
        return "your browser sent no session; sign out, and sign in again"
    body = {
        "user": handler.current_user.name,
        "provider": identity.provider,
        "subject": identity.subject,
        "session": hash_credential(session_id),
        "source": handler.authenticator.client_address(handler),
        **extra,
    }
    try:
        await handler.authenticator.service.request("POST", path, body)
    except Unavailable as error:
        handler.log.error("%s of `%s`: %s", path, handler.current_user.name, error.detail)
        return describe_outage(error)
    except Problem as error:
        handler.log.warning("%s of `%s`: %s", path, handler.current_user.name, error.detail)
        return error.detail
    return None


def reauthentication_handlers(service: str) -> list[tuple[Any, ...]]:
    """Return the handlers of these pages, for `Authenticator.get_handlers`."""
    shared = {"service": service}
    return [(r"/aizen/confirm", ConfirmHandler, shared), (r"/aizen/link", LinkHandler, shared)]
