"""Which credential is accepted where, and whose it is. No road accepts another road's credential (T-13, T-49)."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from aizen_hub.accounts.credentials import recent_logins as sign_ins
from aizen_hub.problems import NotAuthenticated
from aizen_hub.rbac.identity import Identity
from aizen_hub.service.auth.failed_auth_throttle import Doubts
from aizen_hub.service.auth.hub_api import HubClient
from aizen_hub.service.auth.service_account_auth import Machines, Presented, speaks_dpop
from aizen_hub.service.http.request import Request
from aizen_hub.service.http.route import Credential, Route
from aizen_hub.store.actor import Actor, Road
from aizen_hub.tokens.opaque_token import hash_credential, same
from aizen_hub.tokens.role_token import RoleToken
from aizen_hub.validation.client_address import source_of

if TYPE_CHECKING:
    from aizen_hub.service.context import House

_TOKEN = re.compile(r"[A-Za-z0-9._~+/=-]{1,8192}")
HUB = Identity.service_account("hub")
CORE = Identity.service_account("core")


@dataclass(frozen=True, slots=True)
class Caller:
    """Who sent a request, proven.

    Attributes
    ----------
    credential : Credential
        What proved it.
    actor : Actor or None
        None where nobody is proven.
    source : str
        Network address; a forwarded one only if a configured proxy says so (R121).
    token : RoleToken or None
    xsrf : str or None
        What every change from this browser must carry.
    secure : bool
        Whether a browser without a credential came by TLS.
    rationed : bool
        Whether, without a credential, it takes from the bucket of its source.
    """

    credential: Credential
    source: str
    actor: Actor | None = None
    token: RoleToken | None = None
    xsrf: str | None = None
    secure: bool = False
    rationed: bool = True

    @property
    def unlimited(self) -> bool:
        """The hub and the core are machines of ours: to slow them down would slow everybody down."""
        return self.credential in (Credential.HUB_SECRET, Credential.CORE)

    @property
    def identity_key(self) -> str | None:
        return None if self.actor is None else str(self.actor.identity)

    @property
    def session(self) -> str | None:
        return None if self.actor is None else self.actor.session


def refuse(code: str, detail: str, remedy: str | None = None) -> NotAuthenticated:
    return NotAuthenticated(detail, remedy=remedy, more={"code": code})


class Roads:
    """Proves callers.

    Parameters
    ----------
    house : House
    hub : HubClient
        Asked about hub tokens, each time anew (F1).
    hub_secret, core_credential : str or None
        None: nobody can come that way.

    Attributes
    ----------
    doubts : Doubts
        Where credentials stand that proved nothing yet.
    """

    def __init__(self, house: House, hub: HubClient, hub_secret: str | None, core_credential: str | None) -> None:
        self._house, self._hub = house, hub
        self._machines = Machines(house)
        self.doubts = Doubts(house.settings.service.deadline_seconds, house.metrics.limited)
        self._secrets = {Credential.HUB_SECRET: hub_secret, Credential.CORE: core_credential}
        self._ways: dict[Credential, Callable[[str, str], Awaitable[Caller]]] = {
            Credential.HUB_SECRET: self._by_hub_secret,
            Credential.CORE: self._by_core_credential,
            Credential.ROLE_TOKEN: self._by_role_token,
        }

    async def identify(self, route: Route, request: Request, *, proxied: bool) -> Caller:
        """Prove who sent this request, by what the route takes on this side of the proxy and by nothing else.

        Raises
        ------
        NotAuthenticated
            With a ``code``; counted, never recorded (DESIGN, *audit*).
        TooMany
            Too many bad ones came from there, and this one proved nothing before.
        """
        source = self.source(request, proxied=proxied)
        if Credential.NONE in route.takes:
            secure = proxied and self._house.browsers.secure(request)
            return Caller(Credential.NONE, source, secure=secure, rationed=route.rationed)
        kind = self.kind(request, proxied=proxied)
        try:
            if kind not in route.takes:
                raise refuse("wrong-road", f"this address does not take a {kind.value.replace('-', ' ')}")
            if kind is Credential.BROWSER:
                return await self._by_browser(request, source)
            token = self._bearer(request)
            if (way := self._ways.get(kind)) is not None:
                return await way(token, source)
            # Only the store or the hub can tell the others good from bad.
            if kind is Credential.HUB_TOKEN:
                async with self.doubts.looking_at(token, source):
                    return await self._by_hub_token(token, source)
            return await self._by_service_account(request, token, source)
        except NotAuthenticated as error:
            self._house.metrics.credential_refused(kind.value, str(error.more.get("code", "refused")))
            raise

    async def machine(self, token: str, source: str) -> Actor:
        """Prove a service account by a credential that came in a form, where no proof of possession stands beside it.

        Raises
        ------
        NotAuthenticated, TooMany
            As `identify`; a credential that is bound to a key is refused.
        """
        presented = Presented(token, None)
        async with self.doubts.looking_at(presented.mark, source):
            return await self._machines.identify(presented, source)

    def kind(self, request: Request, *, proxied: bool) -> Credential:
        """Tell what kind of credential this request carries, from the form of the credential alone.

        Raises
        ------
        NotAuthenticated
            There is none, or not exactly one.
        """
        headers = request.headers.getall("Authorization", ())
        if len(headers) > 1:
            raise refuse("malformed", "more than one credential was sent")
        if not headers:
            if proxied and self._house.browsers.carried(request):
                return Credential.BROWSER
            raise refuse("missing", "no credential was sent")
        scheme, _, token = headers[0].partition(" ")
        if not _TOKEN.fullmatch(token):
            raise refuse("malformed", "the credential is malformed")
        if proxied:
            if scheme.lower() not in ("token", "bearer"):
                raise refuse("malformed", "through the hub's proxy only `Authorization: token …` is read")
            return Credential.HUB_TOKEN
        if scheme.lower() != "bearer":
            if speaks_dpop(headers[0]):
                return Credential.SERVICE_ACCOUNT  # nobody else's credential is bound to a key
            raise refuse(
                "wrong-road",
                "this address reads `Authorization: Bearer …`, or `DPoP …` of service accounts",
                "hub tokens belong to the hub's own address",
            )
        if "." in token:
            return Credential.ROLE_TOKEN
        for kind, secret in self._secrets.items():
            if secret is not None and same(token, secret):
                return kind
        return Credential.SERVICE_ACCOUNT

    def source(self, request: Request, *, proxied: bool) -> str:
        """Return the network address a request came from (R121)."""
        # Nobody of ours stands in front of the service's own address, so that nothing forwarded counts there.
        trusted = self._house.settings.service.trusted_proxies if proxied else ()
        return source_of(request.peer, request.headers.getall("X-Forwarded-For", ()), trusted)

    @staticmethod
    def _bearer(request: Request) -> str:
        return request.headers["Authorization"].partition(" ")[2]

    async def _by_hub_secret(self, token: str, source: str) -> Caller:
        return Caller(Credential.HUB_SECRET, source, Actor(HUB, Road.HUB, source=source))

    async def _by_core_credential(self, token: str, source: str) -> Caller:
        return Caller(Credential.CORE, source, Actor(CORE, Road.SERVICE_ACCOUNT, source=source))

    async def _by_role_token(self, token: str, source: str) -> Caller:
        found = self._house.verifier.verify(token, datetime.now(UTC))
        return Caller(
            Credential.ROLE_TOKEN,
            source,
            Actor(
                Identity.user(found.subject),
                Road.KERNEL,
                session=found.session,
                project=found.project,
                acting=None if found.actor is None else Identity.parse(found.actor),
                token_id=found.token_id,
                source=source,
            ),
            found,
        )

    async def _by_service_account(self, request: Request, token: str, source: str) -> Caller:
        presented = Presented.of(request, token, self._house.settings.service_url)
        async with self.doubts.looking_at(presented.mark, source):
            return Caller(Credential.SERVICE_ACCOUNT, source, await self._machines.identify(presented, source))

    async def _by_hub_token(self, token: str, source: str) -> Caller:
        # First our own table: whatever the hub says about it, a server's own token is never a person at a command line.
        if await self._house.was_session_credential(hash_credential(token)):
            raise refuse(
                "server-token",
                "this is the token of a user server, which proves a server and not a person",
                "make a token of your own on the hub's Token page",
            )
        person = await self._hub.person(token)
        return Caller(
            Credential.HUB_TOKEN,
            source,
            Actor(
                Identity.user(person.name),
                Road.CLI,
                token_id=hashlib.sha256(person.token_id.encode()).hexdigest()[:32],
                source=source,
            ),
        )

    async def _by_browser(self, request: Request, source: str) -> Caller:
        browsers = self._house.browsers
        signed_in = browsers.read(request)
        try:
            person = await self._hub.person(signed_in.token)
        except NotAuthenticated as error:
            if error.more.get("code") != "unknown":
                raise
            raise refuse("signed-out", "you were signed out", "sign in again") from None
        fresh = None
        if person.session is not None:
            session = person.session
            fresh = await self._house.look(lambda tx: sign_ins.fresh_until(tx, person.name, session))
        return Caller(
            Credential.BROWSER,
            source,
            Actor(
                Identity.user(person.name),
                Road.PANEL,
                token_id=hashlib.sha256(person.token_id.encode()).hexdigest()[:32],
                source=source,
                fresh_until=fresh,
            ),
            xsrf=browsers.xsrf(signed_in),
        )
