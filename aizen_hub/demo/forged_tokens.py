"""Invalid role tokens for tests: forged, expired, or for another audience or session."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from aizen_hub.cli.local_store import open_store
from aizen_hub.settings import Settings
from aizen_hub.tokens.keys import KeyRing, Purpose, SigningKey
from aizen_hub.tokens.role_token import issue_role_token


def claims_of(token: str) -> Mapping[str, Any]:
    """Return the claims of a token without verification."""
    part = token.split(".")[1]
    claims: Mapping[str, Any] = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return claims


class TokenForger:
    """Creates invalid tokens from a valid one, the last three of them with the installation's own key.

    The demo can read the key because all its processes run under one account.
    """

    def __init__(self, settings: Settings, valid_token: str) -> None:
        from aizen_hub.store.keystore import KeyStore

        self._valid_token, self._claims = valid_token, claims_of(valid_token)
        self._url = settings.service_url
        with open_store(settings) as store, store.read() as tx:
            self._ring = KeyStore.open(settings, store).ring(tx)

    def altered(self) -> str:
        """Return a token for another user with the original signature."""
        header, _, signature = self._valid_token.split(".")
        body = json.dumps({**self._claims, "sub": "alice"}, separators=(",", ":")).encode()
        return ".".join([header, base64.urlsafe_b64encode(body).rstrip(b"=").decode(), signature])

    def own_key(self) -> str:
        """Return a token signed with another key."""
        return self._signed(KeyRing([SigningKey.generate(Purpose.ROLE, datetime.now(UTC))]))

    def expired(self) -> str:
        """Return a correctly signed token that expired."""
        return self._signed(self._ring, now=datetime.now(UTC) - timedelta(hours=1))

    def other_service(self) -> str:
        """Return a correctly signed token for another service."""
        return self._signed(self._ring, audience="http://127.0.0.1:9")

    def other_session(self) -> str:
        """Return a correctly signed token for a session that does not exist."""
        return self._signed(self._ring, session="0" * 32)

    def _signed(
        self, ring: KeyRing, *, now: datetime | None = None, audience: str | None = None, session: str | None = None
    ) -> str:
        return issue_role_token(
            ring,
            self._url,
            audience or self._url,
            subject=self._claims["sub"],
            session_id=session or self._claims["sid"],
            project=self._claims["project"],
            roles=self._claims["roles"],
            revision=self._claims["rev"],
            now=now or datetime.now(UTC),
        )
