"""Guessing at a directory's passwords is counted by the service, as it is for local accounts (R123, R124)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from aizen_hub.client.service_client import HubRoad
from aizen_hub.hub.login.provider import (
    MAX_NAME,
    WRONG,
    PasswordProvider,
    Proof,
    ProviderUnreachable,
    Throttled,
    WrongCredentials,
)
from aizen_hub.problems import Problem, Unavailable


class Counted:
    """A provider whose attempts are counted before it sees them; the report of a success takes its count back."""

    def __init__(self, inner: PasswordProvider, road: HubRoad) -> None:
        self.inner = inner
        self.name = inner.name
        self.label = inner.label
        self._road = road

    async def prove(self, name: str, password: str, *, totp: str | None, source: str | None) -> Proof:
        """Check a password; see `Provider.prove`."""
        if not 0 < len(name) <= MAX_NAME:
            raise WrongCredentials(WRONG)
        wait = await self._enter(name, source)
        if wait is not None:
            raise Throttled("too many failed attempts", wait)
        try:
            proof = await self.inner.prove(name, password, totp=totp, source=source)
        except ProviderUnreachable:
            # Nobody guessed anything: an outage must not make people wait after it.
            await self.take_back(name, source)
            raise
        return replace(proof, typed=name)

    async def take_back(self, name: str, source: str | None) -> None:
        """Let an attempt count for nothing."""
        await self._enter(name, source, void=True)

    async def look_up(self, subject: str, name: str, keep: Mapping[str, Any] | None = None) -> Proof | None:
        """Read an identity again; see `Provider.look_up`."""
        return await self.inner.look_up(subject, name, keep)

    def close(self) -> None:
        self.inner.close()

    async def _enter(self, name: str, source: str | None, *, void: bool = False) -> float | None:
        try:
            return await self._road.attempt(self.name, name, source, void=void)
        except Unavailable as error:
            raise ProviderUnreachable(
                f"nobody can sign in at the moment: the access service does not answer ({error.detail})"
            ) from None
        except Problem:
            # The service found the name malformed; for the person that is the same as wrong.
            raise WrongCredentials(WRONG) from None
