"""Role tokens that must be refused: forged, expired, made for somebody else."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from aizen_hub.cli.local_store import opened
from aizen_hub.settings import Settings
from aizen_hub.tokens.keys import KeyRing, Purpose, SigningKey
from aizen_hub.tokens.role_token import issue


def claims_of(token: str) -> Mapping[str, Any]:
    """Read the claims of a genuine token, without a check."""
    part = token.split(".")[1]
    claims: Mapping[str, Any] = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return claims


class Forger:
    """Makes bad tokens from a good one, the last three of them with the installation's own key.

    The demo can read that key because everything runs under one account; nobody else can.
    """

    def __init__(self, settings: Settings, genuine: str) -> None:
        from aizen_hub.store.keystore import KeyStore

        self._genuine, self._claims = genuine, claims_of(genuine)
        self._url = settings.service_url
        with opened(settings) as store, store.read() as tx:
            self._ring = KeyStore.open(settings, store).ring(tx)

    def altered(self) -> str:
        """Claim another user under the genuine signature."""
        head, _, signature = self._genuine.split(".")
        body = json.dumps({**self._claims, "sub": "alice"}, separators=(",", ":")).encode()
        return ".".join([head, base64.urlsafe_b64encode(body).rstrip(b"=").decode(), signature])

    def own_key(self) -> str:
        """Sign with a key of one's own."""
        return self._signed(KeyRing([SigningKey.new(Purpose.ROLE, datetime.now(UTC))]))

    def expired(self) -> str:
        """Sign rightly, an hour ago."""
        return self._signed(self._ring, now=datetime.now(UTC) - timedelta(hours=1))

    def other_service(self) -> str:
        """Sign rightly, for another service."""
        return self._signed(self._ring, audience="http://127.0.0.1:9")

    def other_session(self) -> str:
        """Sign rightly, for a session that never was."""
        return self._signed(self._ring, session="0" * 32)

    def _signed(
        self, ring: KeyRing, *, now: datetime | None = None, audience: str | None = None, session: str | None = None
    ) -> str:
        return issue(
            ring,
            self._url,
            audience or self._url,
            subject=self._claims["sub"],
            session=session or self._claims["sid"],
            project=self._claims["project"],
            roles=self._claims["roles"],
            revision=self._claims["rev"],
            now=now or datetime.now(UTC),
        )
