"""Provider for local accounts: the service stores the password hashes and throttles attempts."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from aizen_hub.client.service_client import ServiceClient
from aizen_hub.hub.login.provider import (
    MAX_NAME,
    MAX_PASSWORD,
    NOT_AT_THIS_HUB,
    WRONG_CREDENTIALS,
    AccessDeniedError,
    AuthenticatedIdentity,
    ProviderUnreachableError,
    ThrottledError,
    WrongCredentialsError,
)
from aizen_hub.hub.service_outage import describe_outage
from aizen_hub.problems import Denied, Problem, TooManyRequests, Unavailable
from aizen_hub.settings import ConfigurationError, ProviderSettings

log = logging.getLogger("aizen_hub.login")


class LocalProvider:
    """The accounts of ``aizen-hub user create``."""

    def __init__(self, settings: ProviderSettings, service: ServiceClient) -> None:
        if settings.config:
            key = sorted(settings.config)[0]
            raise ConfigurationError(f"`providers.{settings.name}.config.{key}` is not a known key: remove it")
        self.name = settings.name
        self.label = settings.label or settings.name
        self._service = service

    async def authenticate(
        self, name: str, password: str, *, totp: str | None, source: str | None
    ) -> AuthenticatedIdentity:
        """Check a password; see `PasswordProvider.authenticate`."""
        if not 0 < len(name) <= MAX_NAME or not name.isprintable() or not password.strip() or "\0" in password:
            raise WrongCredentialsError(WRONG_CREDENTIALS)
        if len(password) > MAX_PASSWORD:
            raise WrongCredentialsError(WRONG_CREDENTIALS)
        try:
            response = await self._service.check_password(self.name, name, password, totp=totp, source=source)
        except TooManyRequests as error:
            raise ThrottledError("too many failed attempts", float(error.extensions.get("retry_after", 1))) from None
        except Unavailable as error:
            log.error("password check: %s", error.detail)
            raise ProviderUnreachableError(
                f"signing in is not possible at the moment: {describe_outage(error)}"
            ) from None
        except Denied as error:
            log.error("password check: %s", error.detail)
            raise AccessDeniedError(NOT_AT_THIS_HUB) from None
        except Problem:
            # The service rejected the form of the name or password; for the user that is the same as wrong.
            raise WrongCredentialsError(WRONG_CREDENTIALS) from None
        if response.outcome == "throttled":
            raise ThrottledError("too many failed attempts", response.retry_after or 1.0)
        if response.outcome != "verified" or not response.subject:
            raise WrongCredentialsError(WRONG_CREDENTIALS)
        return AuthenticatedIdentity(self.name, response.subject, response.name or name)

    async def refresh(
        self, subject: str, name: str, provider_state: Mapping[str, Any] | None = None
    ) -> AuthenticatedIdentity | None:
        """Return the same identity: the login report that follows checks the account anyway."""
        return AuthenticatedIdentity(self.name, subject, name)

    def close(self) -> None:
        """Do nothing: the client of the service belongs to the authenticator."""
