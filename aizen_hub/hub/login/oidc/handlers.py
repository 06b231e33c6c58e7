"""The addresses of one OIDC provider: to it, back from it, and where it tells that a session ended."""

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

from aizen_hub.hub.login import login_errors as refusal
from aizen_hub.hub.login.login_page import LoginPage, public_address
from aizen_hub.hub.login.oidc.logout import OidcBackchannel
from aizen_hub.hub.login.oidc.provider import GrantRefused, OidcProvider
from aizen_hub.hub.login.provider import LoginFailed, NotLetIn, Proof, ProviderUnreachable, show
from aizen_hub.hub.spawn.server_monitor import ServerLife
from aizen_hub.problems import Problem
from aizen_hub.tokens.opaque_token import same
from aizen_hub.validation import strict_json

FLOW_SECONDS = 600
MAX_USED = 10_000
AGAIN = "this sign-in was not begun in this browser, took too long, or was used already; please start again"


class Proven(dict[str, Any]):
    """Carries a proof through the hub's `login_user`; a type of its own, which no form or JSON body can become."""

    def __init__(self, proof: Proof) -> None:
        super().__init__(username=proof.name)
        self.proof = proof


class UsedStates:
    """States that were used, for as long as their cookies could come again (R26); filled after verification only."""

    def __init__(self) -> None:
        self._until: OrderedDict[str, float] = OrderedDict()

    def use(self, state: str) -> bool:
        """Return whether this is the first time."""
        now = time.monotonic()
        while self._until and (next(iter(self._until.values())) < now or len(self._until) >= MAX_USED):
            self._until.popitem(last=False)
        if state in self._until:
            return False
        self._until[state] = now + FLOW_SECONDS
        return True


class OidcPage(LoginPage):
    """What both addresses for browsers share; a failure is shown on the login page."""

    callback_path = ""

    def initialize(self, provider: OidcProvider, used: UsedStates) -> None:
        self.provider = provider
        self.used = used
        self.callback_path = f"oidc/{provider.name}/callback"
        self.cookie = f"aizen-oidc-{provider.name}"

    def render_template(self, name: str, **names: Any) -> Any:
        if name == "error.html":
            names["login_error"] = names.get("message") or names.get("status_message", "")
            return self._render(**names)
        return BaseHandler.render_template(self, name, **names)

    def public_address(self, path: str) -> str:
        """Return an address of this hub as browsers reach it; what the class of oauthenticator is given calls it."""
        return public_address(self, path)

    def _request_summary(self) -> str:
        # Without the query: code and state are credentials (R98).
        return f"{self.request.method} {self.request.path} ({self.authenticator.source(self)})"

    @property
    def cookie_path(self) -> str:
        return url_path_join(self.hub.base_url, f"oidc/{self.provider.name}/")

    def post(self) -> None:
        raise web.HTTPError(405)


class OidcBegin(OidcPage):
    """``/hub/oidc/<name>/login``: sends the browser to the provider. Mixed in before the class's own handler.

    With ``fresh`` the person is asked to sign in even where the provider knows them still.
    """

    _for_class = False

    @property
    def authenticator(self) -> Any:
        # The class's own redirect (CILogon's adds to it) reads its own traits; everything else reads the hub's.
        return self.provider.traits if self._for_class else super().authenticator

    async def get(self) -> None:
        try:
            await self.provider.begin()
        except ProviderUnreachable as error:
            raise refusal.unreachable(str(error)) from None
        except LoginFailed as error:
            raise refusal.not_let_in(str(error), self.provider.label) from None
        traits, fresh = self.provider.traits, bool(self.get_argument("fresh", ""))
        flow = {name: secrets.token_urlsafe(32) for name in ("state", "nonce", "verifier")}
        challenge = urlsafe_b64encode(sha256(flow["verifier"].encode()).digest()).rstrip(b"=").decode()
        more = {
            **traits.extra_authorize_params,
            "state": flow["state"],
            "code_challenge": challenge,
            "code_challenge_method": "S256",
        }
        if self.provider.issuer:
            more["nonce"] = flow["nonce"]
        if fresh:
            more |= {"prompt": "login", "max_age": "0"}
        stored = {
            **flow,
            "next": self._validate_next_url(self.get_argument("next", "")),
            "at": int(time.time()),
            "fresh": fresh,
        }
        self._set_cookie(
            self.cookie,
            json.dumps(stored),
            path=self.cookie_path,
            expires_days=None,
            max_age=FLOW_SECONDS,
            samesite="Lax",
        )
        callback = traits.get_callback_url(self)
        self._for_class = True
        try:
            self.authorize_redirect(
                redirect_uri=callback,
                client_id=traits.client_id,
                scope=traits.scope,
                extra_params=more,
                response_type="code",
            )
        finally:
            self._for_class = False


class OidcCallback(OidcPage):
    """``/hub/oidc/<name>/callback``: the way back, good once, in the browser that began it."""

    _verifier = ""

    async def get(self) -> None:
        flow = self._flow()
        self._check_issuer()
        error = self._one("error")
        if error is not None:
            self.log.warning("provider `%s` answers `%s`", self.provider.name, show(error))
            raise refusal.not_let_in(f"{self.provider.label} did not sign you in ({show(error)})", self.provider.label)
        if self._one("code") is None:
            raise refusal.start_again(AGAIN)
        self._verifier = flow["verifier"]
        try:
            proof = await self.provider.finish(self, nonce=flow["nonce"], fresh=flow["fresh"])
        except ProviderUnreachable as problem:
            raise refusal.unreachable(str(problem)) from None
        except GrantRefused:
            raise refusal.start_again(AGAIN) from None
        except NotLetIn as problem:
            raise refusal.not_let_in(str(problem), self.provider.label) from None
        if flow["fresh"]:
            await self.authenticator.signed_in_again(self, proof)
        user = await self.login_user(Proven(proof))
        if user is None:
            raise refusal.not_let_in("your account is not among those that may use this hub", self.provider.label)
        # The first name of the hub's own road: it checks `next` and leaves out our own arguments.
        self.redirect(self._validate_next_url(flow["next"]) or self.get_next_url(user))

    def get_state_cookie(self) -> str:
        """What oauthenticator reads the PKCE verifier from."""
        return str(_serialize_state({"code_verifier": self._verifier}))

    def append_query_parameters(self, url: str, exclude: Any = None) -> str:
        return url

    def _flow(self) -> dict[str, Any]:
        cookie = self.get_secure_cookie(self.cookie, max_age_days=1)
        self.clear_cookie(self.cookie, path=self.cookie_path)
        try:
            flow = strict_json.loads(cookie or b"null", max_bytes=8192)
        except Problem:
            flow = None
        state = self._one("state")
        if (
            not isinstance(flow, dict)
            or state is None
            or not same(state, str(flow.get("state")))
            or not 0 <= time.time() - float(flow.get("at", 0)) <= FLOW_SECONDS
            or not self.used.use(state)
        ):
            raise refusal.start_again(AGAIN)
        return flow

    def _check_issuer(self) -> None:
        """RFC 9207: the answer must be that of the provider that was asked (T-56)."""
        given = self.get_query_arguments("iss", strip=False)
        known = self.provider.last_metadata
        if known is None:
            return
        if (given or known.iss_in_response) and given != [known.issuer]:
            self.log.warning(
                "provider `%s`: the answer names the issuer `%s`", self.provider.name, show(" ".join(given), 200)
            )
            raise refusal.start_again(f"the answer did not come from {self.provider.label}; please start again")

    def _one(self, name: str) -> str | None:
        values = self.get_query_arguments(name, strip=False)
        if len(values) > 1:
            raise refusal.start_again(AGAIN)
        return values[0] if values and 0 < len(values[0]) <= 4096 else None


def handlers_of(provider: OidcProvider, app: Any, life: ServerLife) -> list[tuple[Any, ...]]:
    """Return the addresses of one provider, for `Authenticator.get_handlers`."""
    begin = type("OidcBegin", (OidcBegin, provider.traits.login_handler, LoginPage), {"get": OidcBegin.get})
    shared = {"provider": provider, "used": UsedStates()}
    found: list[tuple[Any, ...]] = [
        (rf"/oidc/{provider.name}/login", begin, shared),
        (rf"/oidc/{provider.name}/callback", OidcCallback, shared),
    ]
    if provider.issuer:
        told = {"provider": provider, "app": app, "life": life}
        found.append((rf"/oidc/{provider.name}/backchannel-logout", OidcBackchannel, told))
    return found
