"""What every way to prove who one is has in common."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from aizen_hub.validation.printable import visible

WRONG = "the user name or the password is wrong"
MAX_NAME = 256
MAX_PASSWORD = 1024
"""Characters of what is typed in the form; longer ones are wrong before anybody is asked."""


@dataclass(frozen=True, slots=True)
class Proof:
    """A proven identity.

    Attributes
    ----------
    provider : str
        The name of the provider that proved it.
    subject : str
        What never changes there: entryUUID, objectGUID, `sub`, the id of a local account.
    name : str
        The name that the provider gives, with its domain where it is a mail address; not yet checked by the service,
        and a label, not the identity.
    groups : tuple of str, optional
        Names of the groups there; None where this provider does not know them now.
    keep : mapping
        What the provider needs to look this person up again, kept encrypted by the hub; may hold credentials.
    authenticated_at : float, optional
        When the person last proved it in person, in seconds since the epoch, where the provider says so.
    typed : str, optional
        What was typed as the name, where the attempt was counted.
    """

    provider: str
    subject: str
    name: str
    display_name: str | None = None
    email: str | None = None
    groups: tuple[str, ...] | None = None
    keep: Mapping[str, Any] = field(default_factory=dict, repr=False)
    authenticated_at: float | None = None
    typed: str | None = None


class LoginFailed(Exception):
    """The proof failed; the message is a sentence for the person at the form and never says which part was wrong."""


class WrongCredentials(LoginFailed):
    """Unknown name, wrong password, or a name that no directory could hold: one text for all of them."""


class NotLetIn(LoginFailed):
    """The password was right, but this person may not come in by this provider."""


class Throttled(LoginFailed):
    """Too many failed attempts; ``retry_after`` is in seconds."""

    def __init__(self, sentence: str, retry_after: float) -> None:
        super().__init__(sentence)
        self.retry_after = retry_after


class ProviderUnreachable(LoginFailed):
    """The directory or identity provider does not answer, or answers nonsense; nobody's fault at the form.

    ``keep`` is what `Proof.keep` must become nevertheless: half a look-up may have used up a credential.
    """

    def __init__(self, sentence: str, keep: Mapping[str, Any] | None = None) -> None:
        super().__init__(sentence)
        self.keep = keep


class Provider(Protocol):
    """One entry of ``providers`` in aizen.yaml."""

    name: str
    label: str

    async def look_up(self, subject: str, name: str, keep: Mapping[str, Any] | None = None) -> Proof | None:
        """Read an identity again without the person; None if it is gone or may not come in any more.

        Parameters
        ----------
        keep : mapping
            `Proof.keep` of the last time.

        Raises
        ------
        ProviderUnreachable
        """

    def close(self) -> None:
        """Give back threads and connections."""


@runtime_checkable
class PasswordProvider(Provider, Protocol):
    """A provider that takes a name and a password from the form."""

    async def prove(self, name: str, password: str, *, totp: str | None, source: str | None) -> Proof:
        """Check a password.

        Raises
        ------
        WrongCredentials, NotLetIn, Throttled, ProviderUnreachable
        """


def short_name(name: str) -> str:
    """Return the local part where the name is a mail address, else the name; the Aizen user id is the short name."""
    local, at, domain = name.partition("@")
    return local if at and local and domain else name


def show(text: str, limit: int = 64) -> str:
    """Return text from outside so that it can stand in a log line or a sentence: bounded, one line, visible (R99)."""
    return visible(text[:limit]) + ("…" if len(text) > limit else "")
