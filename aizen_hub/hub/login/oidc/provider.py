"""Sign-in by OpenID Connect or OAuth 2, through oauthenticator: what its classes leave open is closed here."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlencode

from tornado.httpclient import HTTPClientError
from tornado.web import HTTPError

from aizen_hub.hub.login.oidc.claims import ClaimFault, text
from aizen_hub.hub.login.oidc.claims_mapper import OidcJudge, seconds
from aizen_hub.hub.login.oidc.config import OidcConfig
from aizen_hub.hub.login.oidc.discovery import Discovery, Metadata
from aizen_hub.hub.login.oidc.http import IdpClient, IdpFailed
from aizen_hub.hub.login.oidc.id_token import IdTokens, TokenFault
from aizen_hub.hub.login.oidc.jwks import IdpKeys
from aizen_hub.hub.login.oidc.traits import VERIFIED, oauth_error
from aizen_hub.hub.login.provider import LoginFailed, NotLetIn, Proof, ProviderUnreachable, show
from aizen_hub.settings import ProviderSettings

log = logging.getLogger("aizen_hub.login")

FRESH_SECONDS = 120.0
T = TypeVar("T")


class GrantRefused(LoginFailed):
    """The provider does not accept a code or refresh token (any more)."""


@dataclass
class _Grant:
    """What one exchange gave so far; a refresh token that arrived must be kept whatever happens afterwards."""

    keep: dict[str, Any] = field(default_factory=dict)
    renewed: bool = False


class OidcProvider:
    """One identity provider.

    Addresses and keys are read when they are first needed, so that a hub starts while its provider is down.

    Parameters
    ----------
    groups_required : bool
        See `OidcConfig`.

    Raises
    ------
    ConfigurationError
        See `OidcConfig`.
    """

    def __init__(self, settings: ProviderSettings, folder: Path = Path(), *, groups_required: bool = False) -> None:
        self.name = settings.name
        self._seconds = settings.deadline_seconds
        self._config = OidcConfig(
            settings,
            folder,
            lambda loopback, tls: IdpClient(self._seconds, loopback=loopback, tls=tls),
            groups_required=groups_required,
        )
        self.traits = self._config.traits
        self.label = settings.label or (self.traits.login_service if "login_service" in settings.config else self.name)
        self._judge = OidcJudge(self.name, self.label, self._config)
        self._client = self._config.client
        self.issuer: str = self.traits.issuer
        self._discovery = Discovery(self.issuer, self._client) if self.issuer else None
        self._tokens: IdTokens | None = None
        if self.issuer:
            keys = IdpKeys(self._read_keys)
            self._tokens = IdTokens(self.issuer, self.traits.client_id, keys, self.traits.id_token_algorithms)
        if settings.insecure_tls and self.traits.validate_server_cert is False:
            log.warning("provider `%s`: TLS is not verified (`insecure_tls`); tokens can be stolen", self.name)

    @property
    def last_metadata(self) -> Metadata | None:
        return self._discovery.last_good if self._discovery else None

    def close(self) -> None:
        """Give back connections."""
        self._client.close()

    # -- a person at a browser ---------------------------------------------------------------------------------------

    async def begin(self) -> Metadata | None:
        """Return where to send the browser; None for a provider without discovery, whose class knows it.

        Raises
        ------
        ProviderUnreachable
        """
        return await self._bounded(self._ready())

    async def finish(self, handler: Any, *, nonce: str, fresh: bool = False) -> Proof:
        """Exchange the code of a callback, whose state was checked, for a proof.

        Parameters
        ----------
        handler : OidcCallbackHandler
            With `get_state_cookie` and the arguments of the request.
        nonce : str
            What the request of this browser session held.
        fresh : bool
            Whether the person must have signed in just now (``auth_time``).

        Raises
        ------
        NotLetIn, ProviderUnreachable, GrantRefused
        """
        grant = _Grant()
        return await self._bounded(self._finish(handler, nonce, fresh, grant), grant)

    async def _finish(self, handler: Any, nonce: str, fresh: bool, grant: _Grant) -> Proof:
        await self._ready()
        params = self.traits.build_access_tokens_request_params(handler, None)
        params.pop("data", None)
        told = await self._exchange(params)
        if self._tokens is not None:
            claims = await self._verify(told, nonce=nonce, access_token=told["access_token"])
            if fresh and not _recent(claims.get("auth_time")):
                raise NotLetIn(f"`{self.label}` did not ask you to sign in again")
            told[VERIFIED] = claims
            grant.keep |= {"nonce": nonce, "id_token": told["id_token"], "sid": text(claims, "sid")}
        elif fresh:
            # Without an ID token nothing proves `auth_time`, and the provider is free to answer from an open session.
            raise NotLetIn(f"`{self.label}` cannot prove that you signed in just now; use another of your logins")
        self._take(grant, told)
        if "refresh" not in grant.keep:
            log.info("provider `%s` gives no refresh token; the scope `offline_access` may be missing", self.name)
        return await self._judge.judge(told, grant.keep)

    # -- the person is not there -------------------------------------------------------------------------------------

    async def look_up(self, subject: str, name: str, keep: Mapping[str, Any] | None = None) -> Proof | None:
        """Ask the provider again by refresh token, or by access token where there is none; see `Provider.look_up`."""
        grant = _Grant(dict(keep or {}))
        try:
            proof = await self._bounded(self._renew(grant), grant)
        except (NotLetIn, GrantRefused) as error:
            log.warning("provider `%s`: `%s` cannot stay: %s", self.name, show(name), error)
            return None
        if proof.subject != subject:
            log.warning("provider `%s`: the refresh of `%s` is about somebody else", self.name, show(name))
            return None
        return proof

    async def _renew(self, grant: _Grant) -> Proof:
        await self._ready()
        return await self._judge.judge(await self._again(grant), grant.keep)

    async def _again(self, grant: _Grant) -> dict[str, Any]:
        refresh, access = grant.keep.get("refresh"), grant.keep.get("access")
        if refresh:
            told = await self._exchange(self.traits.build_refresh_token_request_params(refresh))
            self._take(grant, told)
            grant.renewed = True
            if self._tokens is not None and told.get("id_token") is not None:
                told[VERIFIED] = await self._verify(
                    told, nonce=grant.keep.get("nonce"), access_token=told["access_token"], renewed=True
                )
                grant.keep["id_token"] = told["id_token"]
            return told
        if not access or not self.traits.userdata_url:
            raise GrantRefused("there is no refresh token to ask with; the scope `offline_access` may be missing")
        return {"access_token": access, "token_type": "Bearer"}

    # -- signing out -------------------------------------------------------------------------------------------------

    async def logout_url(self, keep: Mapping[str, Any], back: str) -> str | None:
        """Return where the browser of somebody who signs out goes to end the session at the provider too.

        Parameters
        ----------
        back : str
            An address of this hub, registered at the provider as a post-logout address.
        """
        if self.traits.logout_redirect_url:
            return str(self.traits.logout_redirect_url)
        known = self._discovery.last_good if self._discovery else None
        if known is None and self._discovery is not None and self.traits.single_logout:
            try:
                known = await self.begin()
            except LoginFailed:
                known = None
        if not self.traits.single_logout or known is None or known.end_session_url is None:
            return None
        query = {"client_id": self.traits.client_id, "post_logout_redirect_uri": back}
        if keep.get("id_token"):
            query["id_token_hint"] = keep["id_token"]
        return known.end_session_url + ("&" if "?" in known.end_session_url else "?") + urlencode(query)

    async def read_logout(self, token: str) -> tuple[str | None, str | None]:
        """Verify a logout token; returns the subject as in `Proof.subject`, and the provider's session id.

        Raises
        ------
        NotLetIn, ProviderUnreachable
        """
        return await self._bounded(self._read_logout(token))

    async def _read_logout(self, token: str) -> tuple[str | None, str | None]:
        if self._tokens is None:
            raise NotLetIn("this provider has no issuer, so its logout tokens cannot be verified")
        await self._ready()
        claims = await self._tokens.verify_logout(token)
        subject = claims.get("sub")
        return (None if subject is None else self._judge.subject(subject)), text(claims, "sid")

    # -- parts -------------------------------------------------------------------------------------------------------

    async def _bounded(self, work: Awaitable[T], grant: _Grant | None = None) -> T:
        """One deadline, and every failure as one of ours; what the provider sent never reaches a log or a page."""
        try:
            async with asyncio.timeout(self._seconds):
                return await work
        except TimeoutError:
            reason = f"no answer within {self._seconds:g} seconds"
        except IdpFailed as error:
            reason = str(error)
        except TokenFault as error:
            log.warning("provider `%s`: token refused: %s", self.name, error)
            raise NotLetIn(f"the token of `{self.label}` was refused: {error}") from None
        except ClaimFault as error:
            log.warning("provider `%s`: %s", self.name, error)
            raise NotLetIn(f"what `{self.label}` says of you cannot be used: {error}") from None
        except HTTPClientError as error:
            if error.code in (401, 403) and grant is not None:
                raise GrantRefused(f"`{self.label}` refuses its own access token ({oauth_error(error)})") from None
            reason = f"it answers {error.code} ({oauth_error(error)})"
        except HTTPError as error:
            # Raised by classes of oauthenticator; except for refusals meant for people, the text may hold tokens.
            if error.status_code == 403 and error.log_message:
                raise NotLetIn(show(error.log_message, 200)) from None
            reason = f"its answer was not understood ({error.status_code})"
        log.warning("provider `%s`: %s", self.name, reason)
        keep = grant.keep if grant is not None and grant.renewed else None
        raise ProviderUnreachable(f"`{self.label}` cannot be reached at the moment", keep)

    async def _ready(self) -> Metadata | None:
        if self._discovery is None:
            return None
        known = await self._discovery.metadata()
        self._config.adopt(
            authorize_url=known.authorize_url, token_url=known.token_url, userdata_url=known.userinfo_url
        )
        return known

    async def _read_keys(self) -> Any:
        assert self._discovery is not None
        return await self._client.get_json((await self._discovery.metadata()).jwks_url)

    async def _exchange(self, params: dict[str, Any]) -> dict[str, Any]:
        if not self.traits.client_secret:
            params.pop("client_secret", None)
        try:
            told = await self.traits.get_token_info(None, params)
        except HTTPClientError as error:
            if oauth_error(error) == "invalid_grant":
                raise GrantRefused(f"`{self.label}` does not accept this sign-in any more") from None
            raise IdpFailed(f"its token endpoint answers {error.code} ({oauth_error(error)})") from None
        except HTTPError as error:
            if error.status_code == 403:
                raise GrantRefused(f"`{self.label}` does not accept this sign-in any more") from None
            raise IdpFailed("its token endpoint answers without a token") from None
        except TypeError:
            raise IdpFailed("its token endpoint answers nothing") from None
        if not isinstance(told, dict) or not isinstance(told.get("access_token"), str):
            raise IdpFailed("its token endpoint answers without a token")
        if not isinstance(told.setdefault("token_type", "Bearer"), str):
            raise IdpFailed("its token endpoint answers with a strange `token_type`")
        told.pop(VERIFIED, None)
        return told

    async def _verify(self, told: Mapping[str, Any], **expected: Any) -> dict[str, Any]:
        assert self._tokens is not None
        return await self._tokens.verify(told.get("id_token"), **expected)

    def _take(self, grant: _Grant, told: Mapping[str, Any]) -> None:
        refresh = told.get("refresh_token")
        if isinstance(refresh, str) and refresh:
            grant.keep["refresh"] = refresh
        # Beside a refresh token the access token is not needed again, and what is not kept cannot leak.
        if "refresh" in grant.keep:
            grant.keep.pop("access", None)
        else:
            grant.keep["access"] = told["access_token"]


def _recent(value: Any) -> bool:
    when = seconds(value)
    return when is not None and abs(time.time() - when) <= FRESH_SECONDS
