"""Logins: what the hub reports to the service, and the responses."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from aizen_hub.api_models.schema import CompleteResponse, Label, Name, Note, ProviderName, Schema, Sha256

EnteredName = Annotated[str, Field(max_length=255)]
"""The user name as entered in the login form, not validated."""

ReportedGroup = Annotated[str, Field(max_length=4096)]
"""A group as its provider writes it, for example a distinguished name; one that cannot be a group name is skipped."""

Seconds = Annotated[float, Field(ge=0)]


class LoginReport(Schema):
    """A user whom a provider has authenticated.

    Attributes
    ----------
    groups : list of str, optional
        None where the provider does not know them.
    entered_name : str, optional
        The name of the `LoginAttempt` that succeeded; None where no attempt was counted.
    refresh : bool
        Whether the provider was queried without the user being present.
    unattended : bool
        Whether no request of the user caused the refresh: the account counts as unused still.
    answered_in : float, optional
        How long the directory took to answer, in seconds; None where no directory was asked.
    """

    provider: ProviderName
    subject: Name
    name: Name
    display_name: Note | None = None
    email: Label | None = None
    groups: Annotated[list[ReportedGroup], Field(max_length=1000)] | None = None
    source: Label | None = None
    entered_name: EnteredName | None = None
    refresh: bool = False
    unattended: bool = False
    answered_in: Annotated[float, Field(ge=0, le=3600)] | None = None


class HubUserModel(CompleteResponse):
    """What the hub itself knows of a user's roles: names of hub groups, and whether the admin page is open."""

    groups: tuple[str, ...] = ()
    admin: bool = False


class LoginOutcome(StrEnum):
    """Whether a user whom a provider has authenticated is admitted, and if not, why."""

    ADMITTED = "admitted"
    NOT_REGISTERED = "not-registered"
    LOCKED = "locked"
    NOT_ACTIVE = "not-active"
    NAME_TAKEN = "name-taken"


class LoginResponse(CompleteResponse):
    """Whether an authenticated user may sign in, and under which short name.

    Attributes
    ----------
    hub_user : HubUserModel, optional
        None unless the outcome is ``admitted``.
    sign_out_revision : int, optional
        The last change of how the user signs in: everything that signed in before it ends, before this login takes
        effect (R142).
    """

    outcome: LoginOutcome
    user: str | None = None
    reason: str = ""
    hub_user: HubUserModel | None = None
    sign_out_revision: int | None = None

    @property
    def is_admitted(self) -> bool:
        return self.outcome is LoginOutcome.ADMITTED


class LoginAttempt(Schema):
    """A password that a provider is about to check; ``undo`` removes an attempt that no provider answered."""

    provider: ProviderName
    name: EnteredName
    source: Label | None = None
    undo: bool = False


class ThrottleResponse(CompleteResponse):
    """Whether a login attempt may be made; ``retry_after`` is in seconds, None for at once."""

    retry_after: Seconds | None = None


class PasswordCheck(Schema):
    """A password entered in the hub's form for a local account; a name of any form is refused like a wrong password."""

    provider: ProviderName
    name: EnteredName
    password: Annotated[str, Field(max_length=1024)]
    totp: Annotated[str | None, Field(max_length=16)] = None
    source: Label | None = None


class PasswordCheckResponse(CompleteResponse):
    """Whether the password of a local account is right; ``retry_after`` is in seconds where attempts are throttled."""

    outcome: Literal["verified", "refused", "throttled"]
    subject: str | None = None
    name: str | None = None
    retry_after: Seconds | None = None


class DepartureReport(Schema):
    """A provider does not know a user any more who signed in by it."""

    provider: ProviderName
    subject: Name
    source: Label | None = None


class RegistrationRequest(Schema):
    """A person whom a provider signed in asks to be registered."""

    provider: ProviderName
    name: Name
    display_name: Note = ""
    email: Label | None = None
    source: Label | None = None


class RecentLoginReport(Schema):
    """A signed-in user who has authenticated again; ``session`` is the SHA-256 of the hub's browser session id."""

    user: Name
    provider: ProviderName
    subject: Name
    session: Sha256
    authenticated_at: Annotated[float | None, Field(gt=0, lt=1e11)] = None
    source: Label | None = None


class RecentLoginResponse(CompleteResponse):
    """Until when the authentication counts as recent (RFC 3339)."""

    recent_until: str


class LinkReport(Schema):
    """A login of another provider that a signed-in user has proven, in the browser session ``session``."""

    user: Name
    provider: ProviderName
    subject: Name
    session: Sha256
    source: Label | None = None


class LinkResponse(CompleteResponse):
    message: str
