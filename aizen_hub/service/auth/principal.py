"""The authenticated sender of a request."""

from __future__ import annotations

from dataclasses import dataclass, field

from aizen_hub.service.http.route import AuthMethod
from aizen_hub.store.actor import Actor
from aizen_hub.tokens.role_token import RoleToken


@dataclass(frozen=True, slots=True)
class Principal:
    """The sender of a request, as its credential proves it.

    Attributes
    ----------
    auth_method : AuthMethod
        The type of the credential.
    actor : Actor or None
        None for requests without a credential.
    source : str
        Client address; a forwarded one only if a configured proxy sent it (R121).
    token : RoleToken or None
    credential : str or None
        The SHA-256 of a service account's credential that is still to be checked; see `Route.checks_credential`.
    xsrf : str or None
        The XSRF token that every change from this browser must carry.
    secure : bool
        Whether a browser uses TLS.
    rate_limited_by_source : bool
        Whether a request without a credential counts against the rate limit of its client address.
    identity_key : str or None
        The identity as text, the key of its rate limit.
    """

    auth_method: AuthMethod
    source: str
    actor: Actor | None = None
    token: RoleToken | None = None
    credential: str | None = None
    xsrf: str | None = None
    secure: bool = False
    rate_limited_by_source: bool = True
    identity_key: str | None = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "identity_key", None if self.actor is None else str(self.actor.identity))

    @property
    def is_unlimited(self) -> bool:
        """Whether rate limits do not apply: slowing down the hub or the core would slow down every user."""
        return self.auth_method in (AuthMethod.HUB_SECRET, AuthMethod.CORE)

    @property
    def is_service_account(self) -> bool:
        """Whether a service account sent it with its own credential."""
        return self.auth_method is AuthMethod.SERVICE_ACCOUNT

    @property
    def session_id(self) -> str | None:
        """The session that the request belongs to, if any."""
        return None if self.actor is None else self.actor.session
