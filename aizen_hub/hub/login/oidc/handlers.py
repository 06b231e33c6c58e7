"""Handlers of one OIDC provider: login redirect and callback, with the back-channel logout of `logout`."""

from __future__ import annotations

import json
import secrets
import time
from base64 import urlsafe_b64encode
from collections import OrderedDict
from hashlib import sha256
from typing import Any

from jupyterhub.handlers import BaseHandler
from jupyterhub.utils import url_path_join
from oauthenticator.oauth2 import _serialize_state
from tornado import web

from aizen_hub.hub.login import login_errors
from aizen_hub.hub.login.login_page import LoginPageHandler, public_url
from aizen_hub.hub.login.oidc.logout import BackchannelLogoutHandler
from aizen_hub.hub.login.oidc.provider import GrantError, OidcProvider
from aizen_hub.hub.login.provider import (
    AccessDeniedError,
    AuthenticatedIdentity,
    LoginError,
    ProviderUnreachableError,
    printable,
)
from aizen_hub.hub.spawn.server_monitor import ServerMonitor
from aizen_hub.problems import Problem
from aizen_hub.tokens.opaque_token import constant_time_equals
from aizen_hub.validation import strict_json

LOGIN_SECONDS = 600
MAX_USED_STATES = 10_000
RESTART_MESSAGE = "this login was not started in this browser, took too long, or was already used; please start again"


class OidcIdentity(dict[str, Any]):
    """Passes an identity through the hub's `login_user`; a separate type, which no form or JSON body can produce."""

    def __init__(self, identity: AuthenticatedIdentity) -> None:
        super().__init__(username=identity.name)
        self.identity = identity


class UsedStateStore:
    """Used ``state`` values, until their cookies expire (R26); recorded after verification only."""

    def __init__(self) -> None:
        self._expiries: OrderedDict[str, float] = OrderedDict()

    def mark_used(self, state: str) -> bool:
        """Return whether this is the first time."""
        now = time.monotonic()
        while self._expiries and (next(iter(self._expiries.values())) < now or len(self._expiries) >= MAX_USED_STATES):
            self._expiries.popitem(last=False)
        if state in self._expiries:
            return False
        self._expiries[state] = now + LOGIN_SECONDS
        return True


class OidcHandler(LoginPageHandler):
    """Base of both handlers; errors are shown on the login page."""

    callback_path = ""

    def initialize(self, provider: OidcProvider, used_states: UsedStateStore) -> None:
        self.provider = provider
        self.used_states = used_states
        self.callback_path = f"oidc/{provider.name}/callback"
        self.cookie = f"aizen-oidc-{provider.name}"

    def render_template(self, name: str, **names: Any) -> Any:
        if name == "error.html":
            names["login_error"] = names.get("message") or names.get("status_message", "")
            return self._render(**names)
        return BaseHandler.render_template(self, name, **names)

    def public_address(self, path: str) -> str:
        """Return a URL of this hub as browsers reach it; called by `OidcTraits.get_callback_url`."""
        return public_url(self, path)

    def _request_summary(self) -> str:
        # Without the query: code and state are credentials (R98).
        return f"{self.request.method} {self.request.path} ({self.authenticator.client_address(self)})"

    @property
    def cookie_path(self) -> str:
        return url_path_join(self.hub.base_url, f"oidc/{self.provider.name}/")

    def post(self) -> None:
        raise web.HTTPError(405)


class OidcLoginHandler(OidcHandler):
    """``/hub/oidc/<name>/login``: redirects to the provider. Mixed in before the class's own handler.

    With ``fresh`` the provider must ask for credentials, even where the user is signed in there.
    """

    _use_class_traits = False

    @property
    def authenticator(self) -> Any:
        # The redirect of the class (CILogon's adds to it) reads its own traits; all other code reads the hub's.
        return self.provider.traits if self._use_class_traits else super().authenticator

    async def get(self) -> None:
        try:
            await self.provider.prepare_login()
        except ProviderUnreachableError as error:
            raise login_errors.provider_unreachable(str(error)) from None
        except LoginError as error:
            raise login_errors.access_denied(str(error), self.provider.label) from None
        traits, reauthenticate = self.provider.traits, bool(self.get_argument("fresh", ""))
        login_state = {name: secrets.token_urlsafe(32) for name in ("state", "nonce", "verifier")}
        challenge = urlsafe_b64encode(sha256(login_state["verifier"].encode()).digest()).rstrip(b"=").decode()
        extra_params = {
            **traits.extra_authorize_params,
            "state": login_state["state"],
            "code_challenge": challenge,
            "code_challenge_method": "S256",
        }
        if self.provider.issuer:
            extra_params["nonce"] = login_state["nonce"]
        if reauthenticate:
            extra_params |= {"prompt": "login", "max_age": "0"}
        cookie_value = {
            **login_state,
            "next": self._validate_next_url(self.get_argument("next", "")),
            "at": int(time.time()),
            "fresh": reauthenticate,
        }
        self._set_cookie(
            self.cookie,
            json.dumps(cookie_value),
            path=self.cookie_path,
            expires_days=None,
            max_age=LOGIN_SECONDS,
            samesite="Lax",
        )
        callback = traits.get_callback_url(self)
        self._use_class_traits = True
        try:
            self.authorize_redirect(
                redirect_uri=callback,
                client_id=traits.client_id,
                scope=traits.scope,
                extra_params=extra_params,
                response_type="code",
            )
        finally:
            self._use_class_traits = False


class OidcCallbackHandler(OidcHandler):
    """``/hub/oidc/<name>/callback``: completes a login once, in the browser that started it."""

    _verifier = ""

    async def get(self) -> None:
        login_state = self._take_login_state()
        self._check_issuer()
        error = self._single_argument("error")
        if error is not None:
            self.log.warning("provider `%s` responded with the error `%s`", self.provider.name, printable(error))
            raise login_errors.access_denied(
                f"{self.provider.label} did not sign you in ({printable(error)})", self.provider.label
            )
        if self._single_argument("code") is None:
            raise login_errors.restart_required(RESTART_MESSAGE)
        self._verifier = login_state["verifier"]
        try:
            identity = await self.provider.complete_login(
                self, nonce=login_state["nonce"], reauthenticated=login_state["fresh"]
            )
        except ProviderUnreachableError as problem:
            raise login_errors.provider_unreachable(str(problem)) from None
        except GrantError:
            raise login_errors.restart_required(RESTART_MESSAGE) from None
        except AccessDeniedError as problem:
            raise login_errors.access_denied(str(problem), self.provider.label) from None
        if login_state["fresh"]:
            await self.authenticator.handle_reauthentication(self, identity)
        user = await self.login_user(OidcIdentity(identity))
        if user is None:
            raise login_errors.access_denied("your account is not permitted to use this hub", self.provider.label)
        # As the hub does after a login: it checks `next` and drops the arguments of this handler.
        self.redirect(self._validate_next_url(login_state["next"]) or self.get_next_url(user))

    def get_state_cookie(self) -> str:
        """Return the state from which oauthenticator reads the PKCE verifier."""
        return str(_serialize_state({"code_verifier": self._verifier}))

    def append_query_parameters(self, url: str, exclude: Any = None) -> str:
        return url

    def _take_login_state(self) -> dict[str, Any]:
        cookie = self.get_secure_cookie(self.cookie, max_age_days=1)
        self.clear_cookie(self.cookie, path=self.cookie_path)
        try:
            login_state = strict_json.loads(cookie or b"null", max_bytes=8192)
        except Problem:
            login_state = None
        state = self._single_argument("state")
        if (
            not isinstance(login_state, dict)
            or state is None
            or not constant_time_equals(state, str(login_state.get("state")))
            or not 0 <= time.time() - float(login_state.get("at", 0)) <= LOGIN_SECONDS
            or not self.used_states.mark_used(state)
        ):
            raise login_errors.restart_required(RESTART_MESSAGE)
        return login_state

    def _check_issuer(self) -> None:
        """Check that the response comes from the provider of this login (RFC 9207, T-56)."""
        issuers = self.get_query_arguments("iss", strip=False)
        metadata = self.provider.last_metadata
        if metadata is None:
            return
        if (issuers or metadata.iss_in_response) and issuers != [metadata.issuer]:
            self.log.warning(
                "provider `%s`: the response names the issuer `%s`",
                self.provider.name,
                printable(" ".join(issuers), 200),
            )
            raise login_errors.restart_required(
                f"the response did not come from {self.provider.label}; please start again"
            )

    def _single_argument(self, name: str) -> str | None:
        values = self.get_query_arguments(name, strip=False)
        if len(values) > 1:
            raise login_errors.restart_required(RESTART_MESSAGE)
        return values[0] if values and 0 < len(values[0]) <= 4096 else None


def oidc_handlers(provider: OidcProvider, app: Any, monitor: ServerMonitor) -> list[tuple[Any, ...]]:
    """Return the handlers of one provider, for `Authenticator.get_handlers`."""
    login_handler = type(
        "OidcLoginHandler",
        (OidcLoginHandler, provider.traits.login_handler, LoginPageHandler),
        {"get": OidcLoginHandler.get},
    )
    options = {"provider": provider, "used_states": UsedStateStore()}
    handlers: list[tuple[Any, ...]] = [
        (rf"/oidc/{provider.name}/login", login_handler, options),
        (rf"/oidc/{provider.name}/callback", OidcCallbackHandler, options),
    ]
    if provider.issuer:
        logout_options = {"provider": provider, "app": app, "monitor": monitor}
        handlers.append((rf"/oidc/{provider.name}/backchannel-logout", BackchannelLogoutHandler, logout_options))
    return handlers
