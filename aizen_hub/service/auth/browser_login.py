"""The browser road: people who are signed in at the hub, at pages of the service, on any replica.

Nothing is kept in the process: what a sign-in needs travels encrypted in its state value, and the person's hub token
encrypted in a cookie that only this service's addresses get. Whose token it is, the hub is asked at every request, so
that no answer outlives a sign-out or a revocation (F1). HubOAuth of JupyterHub keeps both in memory, which several
replicas cannot share, and remembers identities for minutes.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode, urlsplit

from aizen_hub.problems import Denied, NotAuthenticated, Problem, Unavailable
from aizen_hub.service.http.request import Headers, Request, joined
from aizen_hub.tokens.key_encryption import KeyEncryption
from aizen_hub.tokens.opaque_token import same
from aizen_hub.validation import strict_json

if TYPE_CHECKING:
    from aizen_hub.service.context import House

FLOW_SECONDS = 600
SESSION_SECONDS = 12 * 3600
XSRF_HEADER = "X-XSRF-Token"
MAX_COOKIE = 4096
COOKIE = "aizen-panel"
"""Holds the sign-in of a browser; its name has a prefix besides, see `Browsers.cookie`."""
_SEALED = re.compile(r"[A-Za-z0-9_-]{16,4000}")
_NEXT = re.compile(r"[A-Za-z0-9/_.?=&-]{0,300}")


@dataclass(frozen=True, slots=True)
class HubPlace:
    """Where the hub is for browsers, and who the service is there.

    Attributes
    ----------
    address : str
        Of the hub's pages, with a final slash: a path, or a whole address where the hub has a host of its own.
    client_id, api_token : str or None
        The service's OAuth client; None where it was started without a hub.
    own_host : bool
        The service shares no host with user servers (``subdomain_host``).
    https : bool or None
        Whether browsers reach it by TLS; None: each request says so.
    """

    address: str
    client_id: str | None
    api_token: str | None
    own_host: bool
    https: bool | None

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> HubPlace:
        base = environ.get("JUPYTERHUB_BASE_URL", "/").rstrip("/") + "/"
        host = environ.get("JUPYTERHUB_HOST", "").rstrip("/")
        public = environ.get("JUPYTERHUB_PUBLIC_URL", "")
        return cls(
            f"{host}{base}hub/",
            environ.get("JUPYTERHUB_CLIENT_ID") or None,
            environ.get("JUPYTERHUB_API_TOKEN") or None,
            bool(host),
            urlsplit(public).scheme == "https" if public else None,
        )


@dataclass(frozen=True, slots=True)
class SignedIn:
    """What the cookie of a signed-in browser holds."""

    token: str
    key: str


class Browsers:
    """Signs browsers in through the hub, and reads and checks what they send.

    Parameters
    ----------
    house : House
    place : HubPlace
    encryption : KeyEncryption or None
        Shared by all replicas; None while the service is sealed, then nobody comes in this way.
    """

    def __init__(self, house: House, place: HubPlace, encryption: KeyEncryption | None) -> None:
        self._house, self.place = house, place
        self._seal = None if encryption is None else KeyEncryption(encryption.derive("browser cookies"))
        self._xsrf = None if encryption is None else encryption.derive("browser xsrf")

    # -- signing in ------------------------------------------------------------------------------------------------

    def begin(self, request: Request, onward: str) -> tuple[str, str]:
        """Return where to send the browser, and the cookie that binds the sign-in to it.

        Parameters
        ----------
        onward : str
            The page to open afterwards, below the service's prefix.

        Raises
        ------
        Unavailable
        """
        if self.place.client_id is None or not self._house.hub.known:
            raise Unavailable("this service was started without a hub, so nobody can sign in at its pages")
        kept = self._cookie(request.headers, self._flow_cookie(request))
        # Kept where there is one, so that two tabs can sign in at once.
        browser = kept if kept is not None and re.fullmatch(r"[A-Za-z0-9_-]{43}", kept) else secrets.token_urlsafe(32)
        verifier = secrets.token_urlsafe(48)
        state = self._close({"b": _digest(browser), "n": onward, "v": verifier, "t": int(time.time())}, "state")
        challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
        query = {
            "client_id": self.place.client_id,
            "redirect_uri": self.callback,
            "response_type": "code",
            "state": state,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
        }
        cookie = self._set(request, self._flow_cookie(request), browser, FLOW_SECONDS)
        return f"{self.place.address}api/oauth2/authorize?{urlencode(query)}", cookie

    async def finish(self, headers: Headers, secure: bool, state: str, code: str) -> tuple[str, tuple[str, ...]]:
        """Return where to go on, and the cookies of a browser that came back with a code.

        Raises
        ------
        NotAuthenticated
            Not begun in this browser, too long ago, or the hub refuses the code.
        Unavailable
        """
        flow = self._open(state, "state", FLOW_SECONDS)
        browser = self._cookie(headers, self._name("aizen-signin", secure))
        if flow is None or browser is None or not same(_digest(browser), str(flow.get("b"))):
            raise NotAuthenticated(
                "this sign-in was not begun in this browser, or took too long",
                remedy="open the page again; cookies must be allowed",
                more={"code": "sign-in"},
            )
        token = await self._house.hub.token_for_code(
            {
                "client_id": str(self.place.client_id),
                "client_secret": str(self.place.api_token),
                "grant_type": "authorization_code",
                "code": code,
                "redirect_uri": self.callback,
                "code_verifier": str(flow["v"]),
            }
        )
        sealed = self._close({"o": token, "k": secrets.token_urlsafe(24), "t": int(time.time())}, "signed in")
        return self.onward(str(flow["n"])), (
            self._make(self._name(COOKIE, secure), sealed, secure, SESSION_SECONDS),
            self._make(self._name("aizen-signin", secure), "", secure, 0),
        )

    @property
    def callback(self) -> str:
        return self._house.prefix + "oauth_callback"

    def onward(self, page: str) -> str:
        """Return the address of one of our own pages, and of nothing else (R120)."""
        return self._house.prefix + (page.lstrip("/") if _NEXT.fullmatch(page) and "//" not in page else "")

    # -- what a signed-in browser sends ------------------------------------------------------------------------------

    @property
    def cookie(self) -> str:
        """The name of our cookie, as browsers that come by TLS carry it."""
        return self._name(COOKIE, self.place.https is not False)

    def carried(self, request: Request) -> bool:
        """Whether a request comes with our cookie."""
        return bool(_values(request.headers, self._name(COOKIE, self.secure(request))))

    def read(self, request: Request) -> SignedIn:
        """Read the cookie.

        Raises
        ------
        NotAuthenticated
            There is none that is ours and young enough.
        """
        value = self._cookie(request.headers, self._name(COOKIE, self.secure(request)))
        found = None if value is None else self._open(value, "signed in", SESSION_SECONDS)
        if found is None:
            raise NotAuthenticated("you are not signed in here", more={"code": "signed-out"})
        return SignedIn(str(found["o"]), str(found["k"]))

    def xsrf(self, signed_in: SignedIn) -> str:
        """Return the token that every change from this browser must carry (R115)."""
        if self._xsrf is None:
            raise Unavailable("the service is sealed")
        text = f"{signed_in.key}:{_digest(signed_in.token)}"
        return base64.urlsafe_b64encode(hmac.digest(self._xsrf, text.encode(), "sha256")).rstrip(b"=").decode()

    @staticmethod
    def check(request: Request, expected: str, sent: str | None, *, page: bool) -> None:
        """Refuse what another site, or another page of this one, may have made the browser send (R115, R116).

        Parameters
        ----------
        sent : str or None
            The XSRF token that came.
        page : bool
            A page, which is read by opening it; everything else needs the token, also to be read.

        Raises
        ------
        Denied
        """
        site, mode, dest = (joined(request.headers, f"Sec-Fetch-{one}") for one in ("Site", "Mode", "Dest"))
        if page and request.method == "GET":
            # Code in a page of a user server cannot pretend that the person opens a page.
            if mode not in ("", "navigate") or dest not in ("", "document"):
                raise Denied("this page is for opening, not for reading by a program", more={"reason": "fetch"})
            return
        if site not in ("", "same-origin", "none"):
            raise Denied("this came from another site", more={"reason": "cross-site"})
        if sent is None or not same(sent, expected):
            raise Denied(
                "this did not come from a page of ours, or from one that is too old",
                remedy="open the page again",
                more={"reason": "xsrf"},
            )

    # -- cookies -----------------------------------------------------------------------------------------------------

    def secure(self, request: Request) -> bool:
        """Whether the browser came by TLS; a forwarded word counts only from a configured proxy (R121)."""
        if self.place.https is not None:
            return self.place.https
        if request.peer not in self._house.settings.service.trusted_proxies:
            return False  # we speak no TLS ourselves
        # Each proxy adds how it was reached; the outermost stands first. Who makes one up names their own cookie wrong.
        said = [one.strip().lower() for one in joined(request.headers, "X-Forwarded-Proto").split(",")]
        return next(filter(None, said), "") == "https"

    def _name(self, name: str, secure: bool) -> str:
        if not secure:
            return name
        # On a host shared with user servers the path keeps the cookie from them, which `__Host-` would not allow.
        return ("__Host-" if self.place.own_host else "__Secure-") + name

    def _flow_cookie(self, request: Request) -> str:
        return self._name("aizen-signin", self.secure(request))

    def _set(self, request: Request, name: str, value: str, seconds: int) -> str:
        return self._make(name, value, self.secure(request), seconds)

    def _make(self, name: str, value: str, secure: bool, seconds: int) -> str:
        path = "/" if name.startswith("__Host-") else self._house.prefix
        return f"{name}={value}; Path={path}; Max-Age={seconds}; HttpOnly; SameSite=Lax" + (
            "; Secure" if secure else ""
        )

    @staticmethod
    def _cookie(headers: Headers, name: str) -> str | None:
        found = _values(headers, name)
        # Of two of one name one was planted by a neighbour: neither counts.
        return found[0] if len(found) == 1 and len(found[0]) <= MAX_COOKIE else None

    def _close(self, value: Mapping[str, Any], purpose: str) -> str:
        if self._seal is None:
            raise Unavailable("the service is sealed")
        sealed = self._seal.seal(json.dumps(value, separators=(",", ":")).encode(), purpose)
        return base64.urlsafe_b64encode(sealed).rstrip(b"=").decode()

    def _open(self, text: str, purpose: str, seconds: int) -> dict[str, Any] | None:
        if self._seal is None:
            raise Unavailable("the service is sealed")
        if not _SEALED.fullmatch(text):
            return None
        try:
            plain = self._seal.open(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)), purpose)
            value = strict_json.loads(plain, max_bytes=MAX_COOKIE)
        except (ValueError, Problem):
            return None
        if not isinstance(value, dict) or not 0 <= time.time() - value["t"] <= seconds:
            return None
        return value


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _values(headers: Headers, name: str) -> list[str]:
    out = []
    for line in headers.getall("Cookie", ()):
        for part in line.split(";"):
            key, equals, value = part.strip().partition("=")
            if equals and key == name:
                out.append(value)
    return out
