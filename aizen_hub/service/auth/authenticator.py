"""Authentication of requests: each endpoint accepts only the credential types it declares (T-13, T-49)."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from aiohttp import hdrs
from aiohttp.web import BaseRequest

from aizen_hub.accounts.audit_quota import AuditQuotas
from aizen_hub.accounts.credentials import recent_logins
from aizen_hub.accounts.sessions import server_sessions
from aizen_hub.api_models.headers import POD_TOKEN_HEADER
from aizen_hub.problems import NotAuthenticated
from aizen_hub.rbac.identity import Identity
from aizen_hub.service.auth.browser_login import BrowserLogin
from aizen_hub.service.auth.failed_auth_throttle import FailedAuthThrottle
from aizen_hub.service.auth.hub_api import HubApiClient, HubUser
from aizen_hub.service.auth.pod_reviews import PodReviews, missing_token
from aizen_hub.service.auth.principal import Principal
from aizen_hub.service.auth.request_forgery import refuse_service_worker
from aizen_hub.service.auth.service_account_auth import (
    AUDIT_BURST,
    AUDIT_ROWS_PER_SECOND,
    REFUSED_EVENT,
    PresentedCredential,
    ServiceAccountAuthenticator,
    uses_dpop,
)
from aizen_hub.service.http.route import AuthMethod, Route
from aizen_hub.service.runtime.async_store import AsyncStore
from aizen_hub.service.runtime.metrics import Metrics
from aizen_hub.settings import Settings
from aizen_hub.store.actor import Actor, Channel
from aizen_hub.store.transaction import make_audit_record
from aizen_hub.tokens.opaque_token import constant_time_equals, hash_credential
from aizen_hub.tokens.role_token import RoleToken, RoleTokenVerifier
from aizen_hub.validation.client_address import resolve_client_address

_TOKEN = re.compile(r"[A-Za-z0-9._~+/=-]{1,8192}")
HUB = Identity.service_account("hub")
CORE = Identity.service_account("core")
MAX_KERNELS = 10_000
"""Role tokens whose principal is remembered (R127)."""


def not_authenticated(code: str, detail: str, remedy: str | None = None) -> NotAuthenticated:
    """Return the problem of a refused credential, with the code that clients and metrics see."""
    return NotAuthenticated(detail, remedy=remedy, extensions={"code": code})


def kernel_actor(token: RoleToken, source: str) -> Actor:
    """Return the actor of a verified role token."""
    return Actor(
        Identity.user(token.subject),
        Channel.KERNEL,
        session=token.session_id,
        project=token.project,
        acting=None if token.actor is None else Identity.parse(token.actor),
        token_id=token.token_id,
        source=source,
    )


class RequestAuthenticator:
    """Authenticates requests.

    Parameters
    ----------
    settings : Settings
    store : AsyncStore
    metrics : Metrics
    verifier : RoleTokenVerifier
    browser_login : BrowserLogin
    hub_api : HubApiClient
        Validates hub tokens, anew for every request (F1).
    hub_secrets : mapping of str to str
        The secret of each hub, by its id; no two are the same.
    core_credential : str or None
        None: that credential type is not accepted.
    pods : PodReviews or None
        Confirms which pod a role token comes from; None: it may come from anywhere.

    Attributes
    ----------
    service_accounts : ServiceAccountAuthenticator
    failed_auth_throttle : FailedAuthThrottle
        Slows down clients that send invalid credentials.
    """

    def __init__(
        self,
        settings: Settings,
        store: AsyncStore,
        metrics: Metrics,
        verifier: RoleTokenVerifier,
        browser_login: BrowserLogin,
        hub_api: HubApiClient,
        *,
        hub_secrets: Mapping[str, str],
        core_credential: str | None,
        pods: PodReviews | None = None,
    ) -> None:
        self._service_url, self._trusted_proxies = settings.service_url, settings.service.trusted_proxies
        self._store, self._metrics, self._verifier = store, metrics, verifier
        self._browser_login, self._hub_api = browser_login, hub_api
        self.service_accounts = ServiceAccountAuthenticator(settings.rate, store, metrics)
        self.failed_auth_throttle = FailedAuthThrottle(settings.service.deadline_seconds, metrics.count_limited)
        self._hub_secrets, self._core_credential = hub_secrets, core_credential
        self._methods: dict[AuthMethod, Callable[[str, str], Principal]] = {
            AuthMethod.HUB_SECRET: self._authenticate_hub,
            AuthMethod.CORE: self._authenticate_core,
            AuthMethod.ROLE_TOKEN: self._authenticate_role_token,
        }
        self._kernels: dict[str, Principal] = {}
        self._pods = pods
        self._pod_quotas = AuditQuotas(AUDIT_BURST, AUDIT_ROWS_PER_SECOND)

    async def authenticate(self, route: Route, request: BaseRequest, *, proxied: bool) -> Principal:
        """Authenticate a request by a credential type that its route accepts on this side of the proxy.

        Raises
        ------
        Denied
            A service worker sent it.
        NotAuthenticated
            With a ``code``. It is counted in the metrics; the audit does not record it.
        TooManyRequests
            Too many invalid credentials came from this network, and this one was not valid before.
        """
        if proxied:
            refuse_service_worker(request)
        source = self.client_address(request, proxied=proxied)
        if AuthMethod.NONE in route.auth:
            secure = proxied and self._browser_login.is_secure(request)
            return Principal(AuthMethod.NONE, source, secure=secure, rate_limited_by_source=route.rate_limited)
        method, token = self._credential(request, proxied=proxied)
        try:
            if method not in route.auth:
                name = method.value.replace("-", " ")
                raise not_authenticated("wrong-credential-type", f"this address does not accept a {name}")
            if method is AuthMethod.BROWSER:
                return await self._authenticate_browser(request, source)
            if (authenticate := self._methods.get(method)) is not None:
                principal = authenticate(token, source)
                if principal.token is not None and principal.actor is not None:
                    await self.require_pod(request.headers, principal.actor)
                return principal
            # The remaining types need a query to the store or the hub, so they are throttled.
            if method is AuthMethod.HUB_TOKEN:
                async with self.failed_auth_throttle.guard(token, source):
                    return await self._authenticate_hub_token(token, source)
            return await self._authenticate_presented(route, request, token, source)
        except NotAuthenticated as error:
            self._metrics.count_refused_credential(method.value, str(error.extensions.get("code", "refused")))
            raise

    async def authenticate_service_account(self, token: str, source: str) -> Actor:
        """Authenticate a service account by a credential in a form field, which carries no proof of possession.

        Raises
        ------
        NotAuthenticated, TooManyRequests
            As `authenticate`; a credential that is bound to a key is refused.
        """
        presented = PresentedCredential(token, None)
        async with self.failed_auth_throttle.guard(presented.cache_key, source):
            return await self.service_accounts.authenticate(presented, source)

    async def require_pod(self, headers: Mapping[str, str], actor: Actor) -> None:
        """Require that a request with a session's credential comes from its pod, where that is configured.

        What a service account does for a user (R54) comes from elsewhere: it has proved itself by its own credential.

        Raises
        ------
        NotAuthenticated
            It does not; the audit records it.
        TooManyRequests
            Too many invalid tokens came from this network.
        Unavailable
            Kubernetes cannot be asked.
        """
        if self._pods is None or actor.acting is not None:
            return
        assert actor.session is not None, "the actor of a session's credential"
        token = headers.get(POD_TOKEN_HEADER)
        if self._pods.was_confirmed(token, actor.session):
            return
        try:
            if token is None:
                raise missing_token()
            async with self.failed_auth_throttle.guard(f"{actor.session} {token}", actor.source or ""):
                await self._pods.confirm(token, actor.session)
        except NotAuthenticated as problem:
            await self._record_other_pod(actor, problem)
            raise

    async def _record_other_pod(self, actor: Actor, problem: NotAuthenticated) -> None:
        # Shows that the session's token may be stolen. Limited, since a thief could cause many rows.
        now = datetime.now(UTC)
        left_out = self._pod_quotas.acquire(str(actor.session), now)
        if left_out is None:
            return
        code = str(problem.extensions["code"])
        row = make_audit_record(
            actor, REFUSED_EVENT, now, allowed=False, reason=code, sentence=problem.detail, left_out=left_out
        )
        await self._store.append_audit([row])

    async def close(self) -> None:
        """Close the connections."""
        if self._pods is not None:
            await self._pods.close()

    def _credential(self, request: BaseRequest, *, proxied: bool) -> tuple[AuthMethod, str]:
        """Return the type of a request's credential, judged by its form alone, and what follows its scheme.

        Raises
        ------
        NotAuthenticated
            There is no credential, or more than one.
        """
        headers = request.headers.getall(hdrs.AUTHORIZATION, ())
        if len(headers) > 1:
            raise not_authenticated("malformed", "more than one credential was sent")
        if not headers:
            if proxied and self._browser_login.has_cookie(request):
                return AuthMethod.BROWSER, ""
            raise not_authenticated("missing", "no credential was sent")
        scheme, _, token = headers[0].partition(" ")
        if not proxied and "." in token and scheme.lower() == "bearer":
            return AuthMethod.ROLE_TOKEN, token  # the only one with a form of its own, which its verifier checks
        if not _TOKEN.fullmatch(token):
            raise not_authenticated("malformed", "the credential is malformed")
        if proxied:
            if scheme.lower() not in ("token", "bearer"):
                raise not_authenticated(
                    "malformed", "through the hub's proxy only `Authorization: token …` is accepted"
                )
            return AuthMethod.HUB_TOKEN, token
        if scheme.lower() != "bearer":
            if uses_dpop(headers[0]):
                return AuthMethod.SERVICE_ACCOUNT, token  # no other credential type is bound to a key
            raise not_authenticated(
                "wrong-credential-type",
                "this address accepts `Authorization: Bearer …`, or `DPoP …` of service accounts",
                "send hub tokens to the service's address behind the hub's proxy",
            )
        if self._find_hub(token) is not None:
            return AuthMethod.HUB_SECRET, token
        if self._core_credential is not None and constant_time_equals(token, self._core_credential):
            return AuthMethod.CORE, token
        return AuthMethod.SERVICE_ACCOUNT, token

    def _find_hub(self, token: str) -> str | None:
        """Return the id of the hub whose secret a token is; the secret alone says which hub sends a request."""
        # All are compared, so that the time does not tell which one, or how many there are before it.
        equal = [hub for hub, secret in self._hub_secrets.items() if constant_time_equals(token, secret)]
        return equal[0] if equal else None

    def client_address(self, request: BaseRequest, *, proxied: bool) -> str:
        """Return the network address a request came from (R121)."""
        # No trusted proxy is in front of the direct address, so forwarded headers are ignored there.
        forwarded, trusted = (
            (request.headers.getall(hdrs.X_FORWARDED_FOR, ()), self._trusted_proxies) if proxied else ((), ())
        )
        return resolve_client_address(request.remote or "", forwarded, trusted)

    def _authenticate_hub(self, token: str, source: str) -> Principal:
        hub = self._find_hub(token)
        assert hub is not None, "the type of the credential says that it is a hub secret"
        return Principal(AuthMethod.HUB_SECRET, source, Actor(HUB, Channel.HUB, source=source, hub=hub))

    def _authenticate_core(self, token: str, source: str) -> Principal:
        return Principal(AuthMethod.CORE, source, Actor(CORE, Channel.SERVICE_ACCOUNT, source=source))

    def _authenticate_role_token(self, text: str, source: str) -> Principal:
        token = self._verifier.verify(text, datetime.now(UTC))
        principal = self._kernels.get(token.token_id)
        if principal is None or principal.token is not token or principal.source != source:
            principal = Principal(AuthMethod.ROLE_TOKEN, source, kernel_actor(token, source), token)
            if len(self._kernels) >= MAX_KERNELS:
                self._kernels.clear()
            self._kernels[token.token_id] = principal
        return principal

    async def _authenticate_presented(self, route: Route, request: BaseRequest, token: str, source: str) -> Principal:
        presented = PresentedCredential.from_request(request, token, self._service_url)
        if route.checks_credential and (known := self.service_accounts.recall(presented, source)) is not None:
            return Principal(AuthMethod.SERVICE_ACCOUNT, source, known, credential=presented.hash)
        async with self.failed_auth_throttle.guard(presented.cache_key, source):
            actor = await self.service_accounts.authenticate(presented, source)
        return Principal(AuthMethod.SERVICE_ACCOUNT, source, actor)

    async def _authenticate_hub_token(self, token: str, source: str) -> Principal:
        # Checked before the hub is asked: a server's own token never identifies a user at a command line.
        credential = hash_credential(token)
        if await self._store.read(lambda tx: server_sessions.is_session_credential(tx, credential)):
            raise not_authenticated(
                "server-token",
                "this is the token of a user server, which identifies a server and not a user",
                "create your own token on the hub's Token page",
            )
        user = await self._hub_api.user_of_token(token)
        return Principal(AuthMethod.HUB_TOKEN, source, _user_actor(user, Channel.CLI, source))

    async def _authenticate_browser(self, request: BaseRequest, source: str) -> Principal:
        browser_session = self._browser_login.read_session(request)
        try:
            user = await self._hub_api.user_of_token(browser_session.token)
        except NotAuthenticated as error:
            if error.extensions.get("code") != "unknown":
                raise
            raise not_authenticated("signed-out", "you were signed out", "sign in again") from None
        recent_until = None
        if user.session_hash is not None:
            session = user.session_hash
            recent_until = await self._store.read(lambda tx: recent_logins.recent_until(tx, user.name, session))
        return Principal(
            AuthMethod.BROWSER,
            source,
            _user_actor(user, Channel.PANEL, source, recent_until),
            xsrf=self._browser_login.xsrf_token(browser_session),
            secure=self._browser_login.is_secure(request),
        )


def _user_actor(user: HubUser, channel: Channel, source: str, recent_login_until: datetime | None = None) -> Actor:
    return Actor(
        Identity.user(user.name),
        channel,
        token_id=hashlib.sha256(user.token_id.encode()).hexdigest()[:32],
        source=source,
        recent_login_until=recent_login_until,
    )
