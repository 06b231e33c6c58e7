"""Throttling of password attempts at a directory; the service counts them as for local accounts (R123, R124)."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from aizen_hub.client.service_client import ServiceClient
from aizen_hub.hub.login.provider import (
    MAX_NAME,
    NOT_AT_THIS_HUB,
    WRONG_CREDENTIALS,
    AccessDeniedError,
    AuthenticatedIdentity,
    PasswordProvider,
    ProviderUnreachableError,
    ThrottledError,
    WrongCredentialsError,
)
from aizen_hub.hub.service_outage import describe_outage
from aizen_hub.problems import Denied, Problem, Unavailable

log = logging.getLogger("aizen_hub.login")


class ThrottledProvider:
    """A provider whose attempts are counted before each check; the login report of a success resets the count."""

    def __init__(self, provider: PasswordProvider, service: ServiceClient) -> None:
        self.provider = provider
        self.name = provider.name
        self.label = provider.label
        self._service = service

    async def authenticate(
        self, name: str, password: str, *, totp: str | None, source: str | None
    ) -> AuthenticatedIdentity:
        """Check a password; see `PasswordProvider.authenticate`."""
        if not 0 < len(name) <= MAX_NAME:
            raise WrongCredentialsError(WRONG_CREDENTIALS)
        retry_after = await self._count_attempt(name, source)
        if retry_after is not None:
            raise ThrottledError("too many failed attempts", retry_after)
        try:
            identity = await self.provider.authenticate(name, password, totp=totp, source=source)
        except ProviderUnreachableError:
            # No password was guessed: an outage must not throttle users afterwards.
            await self.undo_attempt(name, source)
            raise
        return replace(identity, entered_name=name)

    async def undo_attempt(self, name: str, source: str | None) -> None:
        """Remove an attempt from the count."""
        await self._count_attempt(name, source, undo=True)

    async def refresh(
        self, subject: str, name: str, provider_state: Mapping[str, Any] | None = None
    ) -> AuthenticatedIdentity | None:
        """Read an identity again; see `Provider.refresh`."""
        return await self.provider.refresh(subject, name, provider_state)

    def close(self) -> None:
        self.provider.close()

    async def _count_attempt(self, name: str, source: str | None, *, undo: bool = False) -> float | None:
        try:
            return await self._service.count_attempt(self.name, name, source, undo=undo)
        except Unavailable as error:
            log.error("login attempt: %s", error.detail)
            raise ProviderUnreachableError(
                f"signing in is not possible at the moment: {describe_outage(error)}"
            ) from None
        except Denied as error:
            log.error("login attempt: %s", error.detail)
            raise AccessDeniedError(NOT_AT_THIS_HUB) from None
        except Problem:
            # The service rejected the form of the name; for the user that is the same as wrong.
            raise WrongCredentialsError(WRONG_CREDENTIALS) from None
