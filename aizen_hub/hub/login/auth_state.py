"""The login that the hub stores, encrypted, with its user (``auth_state``)."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from aizen_hub.hub.login.provider import AuthenticatedIdentity

_KEY = "aizen"


@dataclass(frozen=True, slots=True)
class SavedLogin:
    """The identity of the last login, and what its provider needs to refresh it.

    Attributes
    ----------
    provider, subject, name : str
        See `AuthenticatedIdentity`.
    checked_at : float
        When provider and service last admitted the user, in seconds since the epoch.
    provider_state : mapping
        See `AuthenticatedIdentity.provider_state`; may hold credentials.
    sign_out_revision : int or None
        The last change whose sign-out this hub has done, or that preceded this login; see `sign_out`.
    other_entries : mapping
        What else ``auth_state`` contains: `AuthenticatedIdentity.auth_state`, and entries of the operator's hooks.
    """

    provider: str
    subject: str
    name: str
    checked_at: float
    provider_state: Mapping[str, Any] = field(default_factory=dict, repr=False)
    sign_out_revision: int | None = None
    other_entries: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @classmethod
    def from_identity(cls, identity: AuthenticatedIdentity, sign_out_revision: int | None = None) -> SavedLogin:
        """Return the record of an identity that the service has just admitted."""
        return cls(
            identity.provider,
            identity.subject,
            identity.name,
            time.time(),
            dict(identity.provider_state),
            sign_out_revision,
            dict(identity.auth_state),
        )

    @classmethod
    async def load(cls, user: Any) -> SavedLogin | None:
        """Read the record of a hub user; None where there is none, or not one of this form."""
        auth_state = await user.get_auth_state()
        saved = auth_state.get(_KEY) if isinstance(auth_state, dict) else None
        if not isinstance(saved, dict):
            return None
        try:
            return cls(
                str(saved["provider"]),
                str(saved["subject"]),
                str(saved["name"]),
                float(saved["checked_at"]),
                dict(saved.get("provider_state") or {}),
                None if saved.get("sign_out_revision") is None else int(saved["sign_out_revision"]),
                {key: value for key, value in auth_state.items() if key != _KEY},
            )
        except (KeyError, TypeError, ValueError):
            return None

    def to_auth_state(self, provider_state: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Return the complete ``auth_state``, with ``provider_state`` replaced where it is given."""
        return {
            **self.other_entries,
            _KEY: {
                "provider": self.provider,
                "subject": self.subject,
                "name": self.name,
                "checked_at": self.checked_at,
                "provider_state": dict(self.provider_state if provider_state is None else provider_state),
                "sign_out_revision": self.sign_out_revision,
            },
        }
