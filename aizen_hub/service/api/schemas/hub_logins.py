"""What the hub reports about logins."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from aizen_hub.service.http.schema import Label, Name, Open, Schema, Secret, Sha256

Provider = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,31}$")]


Typed = Annotated[str, Field(max_length=255)]
"""Whatever somebody typed into the form."""


Reported = Annotated[str, Field(max_length=4096)]
"""A group as its provider writes it, a whole distinguished name perhaps; what cannot be a name here is passed over."""


class LoginReport(Schema):
    """A person whom a provider has proven."""

    provider: Provider
    subject: Name
    name: Name
    display_name: Label | None = None
    email: Label | None = None
    groups: Annotated[list[Reported], Field(max_length=1000)] | None = None
    source: Label | None = None
    typed: Typed | None = None  # the name of the attempt that succeeded; absent where none was counted
    refresh: bool = False  # the provider was asked again without the person


class Projection(Open):
    """What the hub itself should know of a person."""

    groups: list[str]
    admin: bool


class LoginOutcome(Open):
    outcome: Literal["admitted", "not-registered", "locked", "not-active", "name-taken"]
    user: str | None
    reason: str
    projection: Projection | None


class LoginAttempt(Schema):
    """A password that a provider is about to check."""

    provider: Provider
    name: Typed
    source: Label | None = None
    void: bool = False  # takes back one that nobody judged


class LoginTurn(Open):
    """Whether the attempt may be made, or after how many seconds."""

    retry_after: float | None


class PasswordCheck(Schema):
    """A password typed into the hub's form for a local account."""

    provider: Provider
    name: Annotated[str, Field(max_length=255)]  # whatever was typed: refused in the same words as a wrong password
    password: Annotated[str, Field(max_length=1024)]
    totp: Annotated[str | None, Field(max_length=16)] = None
    source: Label | None = None


class PasswordOutcome(Open):
    outcome: Literal["verified", "refused", "throttled"]
    subject: str | None
    name: str
    retry_after: float | None


class Activation(Schema):
    """The token of an activation link, and the password its owner chose."""

    token: Secret
    password: Secret


class FreshSignIn(Schema):
    """Somebody who is signed in at a browser, and has proven again who they are.

    ``session`` is the SHA-256 of the hub's id of the browser session.
    """

    user: Name
    provider: Provider
    subject: Name
    session: Sha256
    authenticated_at: Annotated[float | None, Field(gt=0, lt=1e11)] = None
    source: Label | None = None


class Fresh(Open):
    fresh_until: str


class LinkReport(Schema):
    """A further login of somebody who is signed in at a browser, proven there."""

    user: Name
    provider: Provider
    subject: Name
    session: Sha256
    source: Label | None = None


class Linked(Open):
    message: str
