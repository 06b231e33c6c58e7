"""Interface of login providers: protocols, the authenticated identity, and errors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from aizen_hub.validation.printable import escape_nonprintable

WRONG_CREDENTIALS = "the user name or the password is wrong"
NOT_AT_THIS_HUB = "this hub does not sign in people of this provider; sign in at another hub"
"""Where the hub shares a service, which gives it other providers (`further_hubs`)."""
MAX_NAME = 256
MAX_PASSWORD = 1024
"""Characters; longer input is rejected without a query to the provider."""


@dataclass(frozen=True, slots=True)
class AuthenticatedIdentity:
    """An identity that a provider has authenticated.

    Attributes
    ----------
    provider : str
        The name of the provider.
    subject : str
        The immutable id there: entryUUID, objectGUID, `sub`, the id of a local account.
    name : str
        The name that the provider returns, with its domain where it is an e-mail address; a label that the service has
        not checked, not the identity.
    groups : tuple of str, optional
        Names of the groups there; None where this provider does not know them at present.
    provider_state : mapping
        What the provider needs to refresh this identity, stored encrypted by the hub; may hold credentials.
    authenticated_at : float, optional
        When the user last signed in at the provider, in seconds since the epoch, where it reports that.
    entered_name : str, optional
        The name as entered in the form, where the attempt was counted.
    auth_state : mapping
        Further entries of the hub's ``auth_state``, for hooks of the operator; stored encrypted.
    answered_in : float, optional
        How long the directory took to answer, in seconds; None where none was asked.
    """

    provider: str
    subject: str
    name: str
    display_name: str | None = None
    email: str | None = None
    groups: tuple[str, ...] | None = None
    provider_state: Mapping[str, Any] = field(default_factory=dict, repr=False)
    authenticated_at: float | None = None
    entered_name: str | None = None
    auth_state: Mapping[str, Any] = field(default_factory=dict, repr=False)
    answered_in: float | None = field(default=None, compare=False)


class LoginError(Exception):
    """Authentication failed; the message is for the user at the form and never says which part was wrong."""


class WrongCredentialsError(LoginError):
    """Unknown name, wrong password, or an impossible name: one text for all of them."""


class AccessDeniedError(LoginError):
    """This user may not sign in through this provider, or no user may at this hub."""


class ThrottledError(LoginError):
    """Too many failed attempts; ``retry_after`` is in seconds."""

    def __init__(self, message: str, retry_after: float) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class ProviderUnreachableError(LoginError):
    """The directory or identity provider does not respond, or sends an invalid response.

    ``provider_state`` replaces `AuthenticatedIdentity.provider_state` all the same: an interrupted refresh may have
    used up a credential.
    """

    def __init__(self, message: str, provider_state: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self.provider_state = provider_state


class Provider(Protocol):
    """One entry of ``providers`` in aizen.yaml."""

    name: str
    label: str

    async def refresh(
        self, subject: str, name: str, provider_state: Mapping[str, Any] | None = None
    ) -> AuthenticatedIdentity | None:
        """Read an identity again without the user; None if it is gone or may not sign in any more.

        Parameters
        ----------
        provider_state : mapping
            `AuthenticatedIdentity.provider_state` of the last time.

        Raises
        ------
        ProviderUnreachableError
        """

    def close(self) -> None:
        """Release threads and connections."""


@runtime_checkable
class PasswordProvider(Provider, Protocol):
    """A provider that checks a name and a password from the form."""

    async def authenticate(
        self, name: str, password: str, *, totp: str | None, source: str | None
    ) -> AuthenticatedIdentity:
        """Check a password.

        Raises
        ------
        WrongCredentialsError, AccessDeniedError, ThrottledError, ProviderUnreachableError
        """


def printable(text: str, limit: int = 64) -> str:
    """Return untrusted text in a form that is safe in a log line or message: bounded, one line, printable (R99)."""
    return escape_nonprintable(text[:limit]) + ("…" if len(text) > limit else "")
