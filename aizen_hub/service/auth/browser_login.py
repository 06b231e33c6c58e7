"""OAuth login of browsers through the hub, and their cookie sessions, on any replica.

The process keeps no state: the data of a login in progress is encrypted in its ``state`` value, which is accepted once
over all replicas (`accounts/credentials/sign_in_replay.py`), and the user's hub token is encrypted in a cookie that
only this service receives. The hub validates the token at every request, so that no cached identity outlives a sign-out
or a revocation (F1). JupyterHub's own HubOAuth keeps both in memory, which replicas cannot share, and caches identities
for minutes.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
import secrets
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode, urlsplit

from aiohttp.web import BaseRequest

from aizen_hub.problems import NotAuthenticated, Problem, Unavailable
from aizen_hub.service.auth.hub_api import CONFIGURE_HUB, HubApiClient
from aizen_hub.service.http.headers import Headers, joined_header
from aizen_hub.tokens.key_encryption import KeyEncryption
from aizen_hub.tokens.opaque_token import constant_time_equals
from aizen_hub.validation import strict_json
from aizen_hub.validation.client_address import is_trusted_proxy

FLOW_SECONDS = 600
SESSION_SECONDS = 12 * 3600
MAX_COOKIE_LENGTH = 4096
COOKIE = "aizen-panel"
"""Name of the session cookie, before its prefix; see `BrowserLogin.cookie_name`."""
_ENCRYPTED = re.compile(r"[A-Za-z0-9_-]{16,4000}")
_NEXT_PATH = re.compile(r"(?!.*(?:\.\.|//|%2[eE]))[A-Za-z0-9/_.%+:,~-]{0,1000}")
_NEXT_QUERY = re.compile(r"[A-Za-z0-9/_.?=&%+:;,@$!'()*~-]{0,2000}")
"""With the form of a request for access that a link fills in; the state of a sign-in holds it encrypted."""


@dataclass(frozen=True, slots=True)
class HubLocation:
    """The hub's address for browsers, and the service's OAuth client there.

    Attributes
    ----------
    address : str
        Address of the hub's pages, with a final slash: a path, or a full URL where the hub has its own host.
    client_id, api_token : str or None
        The service's OAuth client; None where the service was started without a hub.
    origin : str
        Scheme and host of our pages where these have a host of their own (``subdomain_host``); else empty: they share
        the host of the hub and of the user servers.
    https : bool or None
        Whether browsers use TLS; None: decided for each request.
    panel_url : str
        Full address of the panel for browsers, as configured; empty where only its path is known. Never taken from a
        request: its ``Host`` header could lead the receiver of a mail elsewhere.
    """

    address: str
    client_id: str | None
    api_token: str | None
    origin: str
    https: bool | None
    panel_url: str = ""

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> HubLocation:
        base = environ.get("JUPYTERHUB_BASE_URL", "/").rstrip("/") + "/"
        host = environ.get("JUPYTERHUB_HOST", "").rstrip("/")
        public = urlsplit(environ.get("JUPYTERHUB_PUBLIC_URL", ""))
        # The hub names its host also where `public_url` is set without subdomains.
        has_own_host = bool(host and public.netloc) and public.netloc != urlsplit(host).netloc
        return cls(
            f"{host}{base}hub/",
            environ.get("JUPYTERHUB_CLIENT_ID") or None,
            environ.get("JUPYTERHUB_API_TOKEN") or None,
            f"{public.scheme}://{public.netloc}" if has_own_host else "",
            public.scheme == "https" if public.netloc else None,
            environ.get("JUPYTERHUB_PUBLIC_URL", ""),
        )


@dataclass(frozen=True, slots=True)
class BrowserSession:
    """Content of the session cookie: the user's hub token and the key of its XSRF token."""

    token: str
    key: str


@dataclass(frozen=True, slots=True)
class LoginFlow:
    """A login in progress, as its state holds it.

    Attributes
    ----------
    nonce : str
    next_page : str
    verifier : str
        Of PKCE (RFC 7636).
    expires : datetime
    """

    nonce: str
    next_page: str
    verifier: str
    expires: datetime


def sign_in_refused(detail: str) -> NotAuthenticated:
    """Return the problem of a sign-in that cannot be completed."""
    return NotAuthenticated(
        detail, remedy="open the page again; cookies must be allowed", extensions={"code": "sign-in"}
    )


class BrowserLogin:
    """Signs browsers in through the hub, and reads and checks their cookies.

    Parameters
    ----------
    hub_api : HubApiClient
    hub_location : HubLocation
    encryption : KeyEncryption or None
        Shared by all replicas; None while the service is sealed: then no browser can sign in.
    prefix : str
        Path of the service, with a slash at both ends.
    trusted_proxies : collection of str
        Addresses whose ``X-Forwarded-Proto`` is believed (R121).
    """

    def __init__(
        self,
        hub_api: HubApiClient,
        hub_location: HubLocation,
        encryption: KeyEncryption | None,
        *,
        prefix: str,
        trusted_proxies: Collection[str],
    ) -> None:
        self._hub_api, self.hub_location = hub_api, hub_location
        self._prefix, self._trusted_proxies = prefix, tuple(trusted_proxies)
        self.use_encryption(encryption)

    def use_encryption(self, encryption: KeyEncryption | None) -> None:
        """Replace the key-encryption key, which a sealed service may get back while it runs."""
        self.encryption = encryption
        self._encryption = None if encryption is None else KeyEncryption(encryption.derive("browser cookies"))
        self._xsrf_key = None if encryption is None else encryption.derive("browser xsrf")

    # -- login -----------------------------------------------------------------------------------------------------

    def start_login(self, request: BaseRequest, next_page: str) -> tuple[str, str]:
        """Return the URL to redirect the browser to, and the cookie that binds the login to it.

        Parameters
        ----------
        next_page : str
            The page to open afterwards, below the service's prefix.

        Raises
        ------
        Unavailable
        """
        if self.hub_location.client_id is None or not self._hub_api.is_configured:
            raise Unavailable(
                "this service was started without a hub, so its pages have no sign-in", remedy=CONFIGURE_HUB
            )
        browser = self._single_cookie(request.headers, self._flow_cookie_name(request))
        # An existing value is reused, so that two tabs can sign in at once.
        if browser is None or not re.fullmatch(r"[A-Za-z0-9_-]{43}", browser):
            browser = secrets.token_urlsafe(32)
        verifier = secrets.token_urlsafe(48)
        content = {"b": _digest(browser), "i": secrets.token_urlsafe(16), "n": next_page, "v": verifier}
        state = self.encrypt({**content, "t": int(time.time())}, "state")
        challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
        query = {
            "client_id": self.hub_location.client_id,
            "redirect_uri": self.callback_url,
            "response_type": "code",
            "state": state,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
        }
        cookie = self._set_cookie(request, self._flow_cookie_name(request), browser, FLOW_SECONDS)
        return f"{self.hub_location.address}api/oauth2/authorize?{urlencode(query)}", cookie

    def read_flow(self, headers: Headers, secure: bool, state: str) -> LoginFlow:
        """Return the login that a browser returns from; the caller accepts each one once, over all replicas.

        Raises
        ------
        NotAuthenticated
            The login was started in another browser or too long ago.
        """
        flow = self.decrypt(state, "state", FLOW_SECONDS)
        browser = self._single_cookie(headers, self._prefixed_name("aizen-signin", secure))
        if flow is None or browser is None or not constant_time_equals(_digest(browser), str(flow.get("b"))):
            raise sign_in_refused("this sign-in was not started in this browser, or took too long")
        expires = datetime.fromtimestamp(flow["t"] + FLOW_SECONDS, UTC)
        return LoginFlow(str(flow["i"]), str(flow["n"]), str(flow["v"]), expires)

    async def finish_login(self, flow: LoginFlow, secure: bool, code: str) -> tuple[str, tuple[str, ...]]:
        """Return the URL of the next page and the cookies, for a browser that returns from the hub with a code.

        Raises
        ------
        NotAuthenticated
            The hub refuses the code.
        Unavailable
        """
        token = await self._hub_api.exchange_code(
            {
                "client_id": str(self.hub_location.client_id),
                "client_secret": str(self.hub_location.api_token),
                "grant_type": "authorization_code",
                "code": code,
                "redirect_uri": self.callback_url,
                "code_verifier": flow.verifier,
            }
        )
        session = self.encrypt({"o": token, "k": secrets.token_urlsafe(24), "t": int(time.time())}, "signed in")
        return self.next_url(flow.next_page), (
            self._format_cookie(self._prefixed_name(COOKIE, secure), session, secure, SESSION_SECONDS),
            self._format_cookie(self._prefixed_name("aizen-signin", secure), "", secure, 0),
        )

    @property
    def prefix(self) -> str:
        """Path of the service, with a slash at both ends."""
        return self._prefix

    @property
    def callback_url(self) -> str:
        """The redirect URI of the OAuth client, as the hub writes it: with a host where that is ours alone."""
        return f"{self.hub_location.origin}{self._prefix}oauth_callback"

    def next_url(self, page: str) -> str:
        """Return the URL of a page of this service; any other address becomes the start page (R120).

        A query that cannot be passed on is left out.
        """
        path, has_query, query = page.partition("?")
        if not _NEXT_PATH.fullmatch(path):
            return self._prefix
        return self._prefix + path.lstrip("/") + (f"?{query}" if has_query and _NEXT_QUERY.fullmatch(query) else "")

    # -- requests of signed-in browsers ------------------------------------------------------------------------------

    @property
    def cookie_name(self) -> str:
        """The name of the session cookie in browsers that use TLS."""
        return self._prefixed_name(COOKIE, self.hub_location.https is not False)

    def has_cookie(self, request: BaseRequest) -> bool:
        """Return whether a request carries a session cookie."""
        return bool(_cookie_values(request.headers, self._prefixed_name(COOKIE, self.is_secure(request))))

    def read_session(self, request: BaseRequest) -> BrowserSession:
        """Decrypt the session cookie.

        Raises
        ------
        NotAuthenticated
            There is no cookie, or it is invalid or expired.
        """
        value = self._single_cookie(request.headers, self._prefixed_name(COOKIE, self.is_secure(request)))
        session = None if value is None else self.decrypt(value, "signed in", SESSION_SECONDS)
        if session is None:
            raise NotAuthenticated("you are not signed in here", extensions={"code": "signed-out"})
        return BrowserSession(str(session["o"]), str(session["k"]))

    def xsrf_token(self, session: BrowserSession) -> str:
        """Return the token that every change from this browser must carry (R115)."""
        if self._xsrf_key is None:
            raise Unavailable("the service is sealed")
        text = f"{session.key}:{_digest(session.token)}"
        return base64.urlsafe_b64encode(hmac.digest(self._xsrf_key, text.encode(), "sha256")).rstrip(b"=").decode()

    # -- messages to the next page -----------------------------------------------------------------------------------

    def message_cookie(self, content: str, purpose: str, seconds: int, *, secure: bool) -> str:
        """Return the cookie that carries a message to the next page of this browser; empty content removes it."""
        value = self.encrypt({"m": content, "t": int(time.time())}, purpose) if content else ""
        return self._format_cookie(self._prefixed_name(f"aizen-{purpose}", secure), value, secure, seconds)

    def has_message(self, headers: Headers, purpose: str, *, secure: bool) -> bool:
        """Return whether a request carries such a cookie, valid or not."""
        return bool(_cookie_values(headers, self._prefixed_name(f"aizen-{purpose}", secure)))

    def read_message(self, headers: Headers, purpose: str, seconds: int, *, secure: bool) -> str | None:
        """Return the message of such a cookie; None where it is too old, or not from here."""
        value = self._single_cookie(headers, self._prefixed_name(f"aizen-{purpose}", secure))
        message = None if value is None else self.decrypt(value, purpose, seconds)
        return None if message is None else str(message["m"])

    # -- cookies -----------------------------------------------------------------------------------------------------

    def is_secure(self, request: BaseRequest) -> bool:
        """Return whether the browser uses TLS; a forwarded header counts only from a configured proxy (R121)."""
        if self.hub_location.https is not None:
            return self.hub_location.https
        if not is_trusted_proxy(request.remote or "", self._trusted_proxies):
            return False  # the service itself does not serve TLS
        # Each proxy appends how it was reached, so the outermost is first. A client that forges the header only
        # changes the name of its own cookie.
        protocols = [text.strip().lower() for text in joined_header(request.headers, "X-Forwarded-Proto").split(",")]
        return next(filter(None, protocols), "") == "https"

    def _prefixed_name(self, name: str, secure: bool) -> str:
        if not secure:
            return name
        # On a host shared with user servers, the cookie's path hides it from them; `__Host-` would not allow a path.
        return ("__Host-" if self.hub_location.origin else "__Secure-") + name

    def _flow_cookie_name(self, request: BaseRequest) -> str:
        return self._prefixed_name("aizen-signin", self.is_secure(request))

    def _set_cookie(self, request: BaseRequest, name: str, value: str, seconds: int) -> str:
        return self._format_cookie(name, value, self.is_secure(request), seconds)

    def _format_cookie(self, name: str, value: str, secure: bool, seconds: int) -> str:
        path = "/" if name.startswith("__Host-") else self._prefix
        return f"{name}={value}; Path={path}; Max-Age={seconds}; HttpOnly; SameSite=Lax" + (
            "; Secure" if secure else ""
        )

    @staticmethod
    def _single_cookie(headers: Headers, name: str) -> str | None:
        values = _cookie_values(headers, name)
        # Of two cookies with one name, one was planted by another site: neither counts.
        return values[0] if len(values) == 1 and len(values[0]) <= MAX_COOKIE_LENGTH else None

    def encrypt(self, value: Mapping[str, Any], purpose: str) -> str:
        """Return a value as text that only this service reads; its member ``t`` is the time in seconds."""
        if self._encryption is None:
            raise Unavailable("the service is sealed")
        ciphertext = self._encryption.encrypt(json.dumps(value, separators=(",", ":")).encode(), purpose)
        return base64.urlsafe_b64encode(ciphertext).rstrip(b"=").decode()

    def decrypt(self, text: str, purpose: str, seconds: int) -> dict[str, Any] | None:
        """Return the value of an encrypted text of that purpose; None if it is another text, or older than that."""
        if self._encryption is None:
            raise Unavailable("the service is sealed")
        if not _ENCRYPTED.fullmatch(text):
            return None
        try:
            plain = self._encryption.decrypt(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)), purpose)
            value = strict_json.loads(plain, max_bytes=MAX_COOKIE_LENGTH)
        except (ValueError, Problem):
            return None
        if not isinstance(value, dict) or not 0 <= time.time() - value["t"] <= seconds:
            return None
        return value


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _cookie_values(headers: Headers, name: str) -> list[str]:
    out = []
    for line in headers.getall("Cookie", ()):
        for part in line.split(";"):
            key, equals, value = part.strip().partition("=")
            if equals and key == name:
                out.append(value)
    return out
