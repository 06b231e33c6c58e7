"""What the hub keeps of a sign-in, encrypted, in its own record of the person (``auth_state``)."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from aizen_hub.hub.login.provider import Proof

_KEY = "aizen"


@dataclass(frozen=True, slots=True)
class KeptSignIn:
    """By whom somebody was proven to be whom, and what their provider needs to look them up again.

    Attributes
    ----------
    provider, subject, name : str
        See `Proof`.
    checked_at : float
        When the provider and the service last said yes, in seconds since the epoch.
    keep : mapping
        See `Proof.keep`; may hold credentials.
    """

    provider: str
    subject: str
    name: str
    checked_at: float
    keep: Mapping[str, Any] = field(default_factory=dict, repr=False)
    _others: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @classmethod
    def of_proof(cls, proof: Proof) -> KeptSignIn:
        """Return what is kept of a proof that the service has just admitted."""
        return cls(proof.provider, proof.subject, proof.name, time.time(), dict(proof.keep))

    @classmethod
    async def of_user(cls, user: Any) -> KeptSignIn | None:
        """Read it off a user of the hub; None where nothing of ours is kept, or nothing that we wrote."""
        state = await user.get_auth_state()
        known = state.get(_KEY) if isinstance(state, dict) else None
        if not isinstance(known, dict):
            return None
        try:
            return cls(
                str(known["provider"]),
                str(known["subject"]),
                str(known["name"]),
                float(known["checked_at"]),
                dict(known.get("keep") or {}),
                {key: value for key, value in state.items() if key != _KEY},
            )
        except (KeyError, TypeError, ValueError):
            return None

    def state(self, keep: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Return the whole ``auth_state``, with another ``keep`` where one is given."""
        return {
            **self._others,
            _KEY: {
                "provider": self.provider,
                "subject": self.subject,
                "name": self.name,
                "checked_at": self.checked_at,
                "keep": dict(self.keep if keep is None else keep),
            },
        }
