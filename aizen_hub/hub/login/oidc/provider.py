"""Login provider for OpenID Connect and OAuth 2, on the classes of oauthenticator."""

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

from aizen_hub.hub.login.oidc.claims import ClaimError, display_text
from aizen_hub.hub.login.oidc.claims_mapper import ClaimsMapper, to_timestamp
from aizen_hub.hub.login.oidc.config import OidcConfig
from aizen_hub.hub.login.oidc.discovery import Discovery, ProviderMetadata
from aizen_hub.hub.login.oidc.http import IdpClient, IdpError
from aizen_hub.hub.login.oidc.id_token import IdTokenError, IdTokenVerifier
from aizen_hub.hub.login.oidc.jwks import IdpKeySet
from aizen_hub.hub.login.oidc.traits import VERIFIED_CLAIMS_KEY, oauth_error
from aizen_hub.hub.login.provider import (
    AccessDeniedError,
    AuthenticatedIdentity,
    LoginError,
    ProviderUnreachableError,
    printable,
)
from aizen_hub.settings import ProviderSettings

log = logging.getLogger("aizen_hub.login")

MAX_LOGIN_AGE = 120.0
T = TypeVar("T")


class GrantError(LoginError):
    """The provider rejects a code or refresh token."""


@dataclass
class _GrantState:
    """Tokens of one exchange; a new refresh token must be stored even if a later step fails."""

    provider_state: dict[str, Any] = field(default_factory=dict)
    renewed: bool = False


class OidcProvider:
    """One identity provider.

    Metadata and keys are read on first use, so that a hub starts while its provider is down.

    Parameters
    ----------
    groups_required : bool
        See `OidcConfig`.

    Raises
    ------
    ConfigurationError
        See `OidcConfig`.
    """

    def __init__(self, settings: ProviderSettings, base_dir: Path = Path(), *, groups_required: bool = False) -> None:
        self.name = settings.name
        self._seconds = settings.deadline_seconds
        self._config = OidcConfig(
            settings,
            base_dir,
            lambda loopback, tls: IdpClient(self._seconds, loopback=loopback, tls=tls),
            groups_required=groups_required,
        )
        self.traits = self._config.traits
        self.label = settings.label or (self.traits.login_service if "login_service" in settings.config else self.name)
        self._claims_mapper = ClaimsMapper(self.name, self.label, self._config)
        self._client = self._config.client
        self.issuer: str = self.traits.issuer
        self._discovery = Discovery(self.issuer, self._client) if self.issuer else None
        self._token_verifier: IdTokenVerifier | None = None
        if self.issuer:
            keys = IdpKeySet(self._read_keys)
            self._token_verifier = IdTokenVerifier(
                self.issuer, self.traits.client_id, keys, self.traits.id_token_algorithms
            )
        if settings.insecure_tls and self.traits.validate_server_cert is False:
            log.warning("provider `%s`: TLS is not verified (`insecure_tls`); tokens can be stolen", self.name)

    @property
    def last_metadata(self) -> ProviderMetadata | None:
        return self._discovery.last_metadata if self._discovery else None

    def close(self) -> None:
        """Close all connections."""
        self._client.close()

    # -- login in a browser -----------------------------------------------------------------------------------------

    async def prepare_login(self) -> ProviderMetadata | None:
        """Return the metadata for the redirect; None for a provider without discovery, whose URLs are configured.

        Raises
        ------
        ProviderUnreachableError
        """
        return await self._with_deadline(self._discover())

    async def complete_login(self, handler: Any, *, nonce: str, reauthenticated: bool = False) -> AuthenticatedIdentity:
        """Exchange the code of a callback, whose state was checked, for an identity.

        Parameters
        ----------
        handler : OidcCallbackHandler
            With `get_state_cookie` and the arguments of the request.
        nonce : str
            The nonce of the authorization request.
        reauthenticated : bool
            Whether the user must have signed in just now (``auth_time``).

        Raises
        ------
        AccessDeniedError, ProviderUnreachableError, GrantError
        """
        grant = _GrantState()
        return await self._with_deadline(self._complete_login(handler, nonce, reauthenticated, grant), grant)

    async def _complete_login(
        self, handler: Any, nonce: str, reauthenticated: bool, grant: _GrantState
    ) -> AuthenticatedIdentity:
        await self._discover()
        params = self.traits.build_access_tokens_request_params(handler, None)
        params.pop("data", None)
        token_response = await self._request_tokens(params)
        if self._token_verifier is not None:
            claims = await self._verify_id_token(
                token_response, nonce=nonce, access_token=token_response["access_token"]
            )
            if reauthenticated and not _is_recent(claims.get("auth_time")):
                raise AccessDeniedError(f"`{self.label}` did not ask you to sign in again")
            token_response[VERIFIED_CLAIMS_KEY] = claims
            grant.provider_state |= {
                "nonce": nonce,
                "id_token": token_response["id_token"],
                "sid": display_text(claims, "sid"),
            }
        elif reauthenticated:
            # Without an ID token there is no `auth_time`, and the provider may respond from an existing session.
            raise AccessDeniedError(
                f"`{self.label}` does not confirm that you signed in just now; use another of your logins"
            )
        self._store_tokens(grant, token_response)
        if "refresh" not in grant.provider_state:
            log.info("provider `%s` issued no refresh token; the scope `offline_access` may be missing", self.name)
        return await self._claims_mapper.map(token_response, grant.provider_state)

    # -- refresh -----------------------------------------------------------------------------------------------------

    async def refresh(
        self, subject: str, name: str, provider_state: Mapping[str, Any] | None = None
    ) -> AuthenticatedIdentity | None:
        """Refresh by refresh token, or by access token where there is none; see `Provider.refresh`."""
        grant = _GrantState(dict(provider_state or {}))
        try:
            identity = await self._with_deadline(self._refresh_identity(grant), grant)
        except (AccessDeniedError, GrantError) as error:
            log.warning("provider `%s`: `%s` may not stay signed in: %s", self.name, printable(name), error)
            return None
        if identity.subject != subject:
            log.warning("provider `%s`: the refresh of `%s` returned another subject", self.name, printable(name))
            return None
        return identity

    async def _refresh_identity(self, grant: _GrantState) -> AuthenticatedIdentity:
        await self._discover()
        return await self._claims_mapper.map(await self._renew_tokens(grant), grant.provider_state)

    async def _renew_tokens(self, grant: _GrantState) -> dict[str, Any]:
        refresh, access = grant.provider_state.get("refresh"), grant.provider_state.get("access")
        if refresh:
            token_response = await self._request_tokens(self.traits.build_refresh_token_request_params(refresh))
            self._store_tokens(grant, token_response)
            grant.renewed = True
            if self._token_verifier is not None and token_response.get("id_token") is not None:
                token_response[VERIFIED_CLAIMS_KEY] = await self._verify_id_token(
                    token_response,
                    nonce=grant.provider_state.get("nonce"),
                    access_token=token_response["access_token"],
                    renewed=True,
                )
                grant.provider_state["id_token"] = token_response["id_token"]
            return token_response
        if not access or not self.traits.userdata_url:
            raise GrantError("there is no refresh token; the scope `offline_access` may be missing")
        return {"access_token": access, "token_type": "Bearer"}

    # -- logout ------------------------------------------------------------------------------------------------------

    async def logout_url(self, provider_state: Mapping[str, Any], return_url: str) -> str | None:
        """Return the URL that ends the browser's session at the provider, or None.

        Parameters
        ----------
        return_url : str
            A URL of this hub, registered at the provider as a post-logout redirect URI.
        """
        if self.traits.logout_redirect_url:
            return str(self.traits.logout_redirect_url)
        metadata = self._discovery.last_metadata if self._discovery else None
        if metadata is None and self._discovery is not None and self.traits.single_logout:
            try:
                metadata = await self.prepare_login()
            except LoginError:
                metadata = None
        if not self.traits.single_logout or metadata is None or metadata.end_session_url is None:
            return None
        query = {"client_id": self.traits.client_id, "post_logout_redirect_uri": return_url}
        if provider_state.get("id_token"):
            query["id_token_hint"] = provider_state["id_token"]
        return metadata.end_session_url + ("&" if "?" in metadata.end_session_url else "?") + urlencode(query)

    async def verify_logout_token(self, token: str) -> tuple[str | None, str | None]:
        """Verify a logout token; return the subject as in `AuthenticatedIdentity`, and the provider's session id.

        Raises
        ------
        AccessDeniedError, ProviderUnreachableError
        """
        return await self._with_deadline(self._verify_logout_token(token))

    async def _verify_logout_token(self, token: str) -> tuple[str | None, str | None]:
        if self._token_verifier is None:
            raise AccessDeniedError("this provider has no issuer, so its logout tokens cannot be verified")
        await self._discover()
        claims = await self._token_verifier.verify_logout(token)
        subject = claims.get("sub")
        return (None if subject is None else self._claims_mapper.to_subject(subject)), display_text(claims, "sid")

    # -- helpers -----------------------------------------------------------------------------------------------------

    async def _with_deadline(self, operation: Awaitable[T], grant: _GrantState | None = None) -> T:
        """Run under one deadline and translate errors; content sent by the provider never reaches a log or page."""
        try:
            async with asyncio.timeout(self._seconds):
                return await operation
        except TimeoutError:
            reason = f"no response within {self._seconds:g} seconds"
        except IdpError as error:
            reason = str(error)
        except IdTokenError as error:
            log.warning("provider `%s`: invalid token: %s", self.name, error)
            raise AccessDeniedError(f"the token of `{self.label}` is invalid: {error}") from None
        except ClaimError as error:
            log.warning("provider `%s`: %s", self.name, error)
            raise AccessDeniedError(f"the data of `{self.label}` about you is invalid: {error}") from None
        except HTTPClientError as error:
            if error.code in (401, 403) and grant is not None:
                raise GrantError(f"`{self.label}` rejects its own access token ({oauth_error(error)})") from None
            reason = f"it responds with status {error.code} ({oauth_error(error)})"
        except HTTPError as error:
            # Raised by classes of oauthenticator; except for denials meant for users, the text may contain tokens.
            if error.status_code == 403 and error.log_message:
                raise AccessDeniedError(printable(error.log_message, 200)) from None
            reason = f"its response is invalid ({error.status_code})"
        log.warning("provider `%s`: %s", self.name, reason)
        provider_state = grant.provider_state if grant is not None and grant.renewed else None
        raise ProviderUnreachableError(f"`{self.label}` cannot be reached at the moment", provider_state)

    async def _discover(self) -> ProviderMetadata | None:
        if self._discovery is None:
            return None
        metadata = await self._discovery.get_metadata()
        self._config.set_discovered_urls(
            authorize_url=metadata.authorize_url, token_url=metadata.token_url, userdata_url=metadata.userinfo_url
        )
        return metadata

    async def _read_keys(self) -> Any:
        assert self._discovery is not None
        return await self._client.get_json((await self._discovery.get_metadata()).jwks_url)

    async def _request_tokens(self, params: dict[str, Any]) -> dict[str, Any]:
        if not self.traits.client_secret:
            params.pop("client_secret", None)
        try:
            token_response = await self.traits.get_token_info(None, params)
        except HTTPClientError as error:
            if oauth_error(error) == "invalid_grant":
                raise GrantError(f"`{self.label}` does not accept this login any more") from None
            raise IdpError(f"its token endpoint responds with status {error.code} ({oauth_error(error)})") from None
        except HTTPError as error:
            if error.status_code == 403:
                raise GrantError(f"`{self.label}` does not accept this login any more") from None
            raise IdpError("its token endpoint returned no token") from None
        except TypeError:
            raise IdpError("its token endpoint returned an empty response") from None
        if not isinstance(token_response, dict) or not isinstance(token_response.get("access_token"), str):
            raise IdpError("its token endpoint returned no token")
        if not isinstance(token_response.setdefault("token_type", "Bearer"), str):
            raise IdpError("its token endpoint returned an invalid `token_type`")
        token_response.pop(VERIFIED_CLAIMS_KEY, None)
        return token_response

    async def _verify_id_token(self, token_response: Mapping[str, Any], **expected: Any) -> dict[str, Any]:
        assert self._token_verifier is not None
        return await self._token_verifier.verify(token_response.get("id_token"), **expected)

    def _store_tokens(self, grant: _GrantState, token_response: Mapping[str, Any]) -> None:
        refresh = token_response.get("refresh_token")
        if isinstance(refresh, str) and refresh:
            grant.provider_state["refresh"] = refresh
        # With a refresh token the access token is not needed again, so it is not stored.
        if "refresh" in grant.provider_state:
            grant.provider_state.pop("access", None)
        else:
            grant.provider_state["access"] = token_response["access_token"]


def _is_recent(value: Any) -> bool:
    timestamp = to_timestamp(value)
    return timestamp is not None and abs(time.time() - timestamp) <= MAX_LOGIN_AGE
