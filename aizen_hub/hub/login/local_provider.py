"""Sign-in by a local account: the service holds the password hash, and slows guessing down."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aizen_hub.client.service_client import HubRoad
from aizen_hub.hub.login.provider import (
    MAX_NAME,
    MAX_PASSWORD,
    WRONG,
    Proof,
    ProviderUnreachable,
    Throttled,
    WrongCredentials,
)
from aizen_hub.problems import Problem, TooMany, Unavailable
from aizen_hub.settings import ConfigurationError, ProviderSettings


class LocalProvider:
    """The accounts of ``aizen-hub user create``."""

    def __init__(self, settings: ProviderSettings, road: HubRoad) -> None:
        if settings.config:
            key = sorted(settings.config)[0]
            raise ConfigurationError(f"`providers.{settings.name}.config.{key}` is not a known key: remove it")
        self.name = settings.name
        self.label = settings.label or settings.name
        self._road = road

    async def prove(self, name: str, password: str, *, totp: str | None, source: str | None) -> Proof:
        """Check a password; see `Provider.prove`."""
        if not 0 < len(name) <= MAX_NAME or not name.isprintable() or not password.strip() or "\0" in password:
            raise WrongCredentials(WRONG)
        if len(password) > MAX_PASSWORD:
            raise WrongCredentials(WRONG)
        try:
            answer = await self._road.check_password(self.name, name, password, totp=totp, source=source)
        except TooMany as error:
            raise Throttled("too many failed attempts", float(error.more.get("retry_after", 1))) from None
        except Unavailable as error:
            raise ProviderUnreachable(f"passwords cannot be checked at the moment: {error.detail}") from None
        except Problem:
            # The service found the name or the password malformed; for the person that is the same as wrong.
            raise WrongCredentials(WRONG) from None
        if answer.outcome == "throttled":
            raise Throttled("too many failed attempts", answer.retry_after or 1.0)
        if answer.outcome != "verified" or not answer.subject:
            raise WrongCredentials(WRONG)
        return Proof(self.name, answer.subject, answer.name or name)

    async def look_up(self, subject: str, name: str, keep: Mapping[str, Any] | None = None) -> Proof | None:
        """A local account is what the service says it is, and the login report asks for that anyway."""
        return Proof(self.name, subject, name)

    def close(self) -> None:
        """Nothing to give back: the road belongs to the authenticator."""
