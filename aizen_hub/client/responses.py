"""What the service answers to the hub, checked and typed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from aizen_hub.client.errors import Garbled


class _Answer(BaseModel):
    # Unknown members are ignored: a newer service may add some during a rolling update.
    model_config = ConfigDict(extra="ignore", frozen=True)


class Projection(_Answer):
    """What of a person's roles the hub itself knows: names of hub groups, and whether the admin page is open."""

    groups: tuple[str, ...] = ()
    admin: bool = False


class LoginAnswer(_Answer):
    """Whether a proven identity may come in, and under which short name."""

    outcome: Literal["admitted", "not-registered", "locked", "not-active", "name-taken"]
    user: str | None = None
    reason: str = ""
    projection: Projection | None = None


class LoginTurn(_Answer):
    """Whether an attempt to sign in may be made; ``retry_after`` in seconds where not yet."""

    retry_after: Annotated[float, Field(ge=0)] | None = None


class PasswordAnswer(_Answer):
    """Whether the password of a local account is right; ``retry_after`` in seconds where guessing is slowed down."""

    outcome: Literal["verified", "refused", "throttled"]
    subject: str | None = None
    name: str | None = None
    retry_after: Annotated[float, Field(ge=0)] | None = None


class ProjectChoice(_Answer):
    """One project that a person may start a server for."""

    name: str
    description: str | None = None
    roles: tuple[str, ...] = ()
    limits: dict[str, Any] = Field(default_factory=dict)


class Choices(_Answer):
    """What the start page offers."""

    projects: tuple[ProjectChoice, ...] = ()
    system_session: bool = False
    notice: str | None = None


class Opened(_Answer):
    """A session: its role token (secret, hidden in ``repr``), the environment and the limits of the server."""

    session: str
    token: str = Field(repr=False)
    expires_in: float
    project: str | None = None
    environment: dict[str, str] = Field(default_factory=dict)
    limits: dict[str, float | None] = Field(default_factory=dict)
    notice: str | None = None


class Server(_Answer):
    """One server of the hub; the default one has an empty name."""

    user: str
    server: str


class Ended(_Answer):
    ended: int = 0


class Heartbeat(_Answer):
    """Sessions that ended because their server is gone, servers that must be stopped, and those that never had one.

    ``no_admins`` are those whom the hub named as users of its admin page, and who are none any more.
    """

    ended: tuple[Server, ...] = ()
    stop: tuple[Server, ...] = ()
    without: tuple[Server, ...] = ()
    no_admins: tuple[str, ...] = ()


A = TypeVar("A", bound=_Answer)


def read_answer(kind: type[A], document: Mapping[str, Any] | Any) -> A:
    """Check an answer against its type; a misfit is `Garbled`, so that nothing is ever allowed by accident."""
    try:
        return kind.model_validate(document)
    except ValidationError as error:
        places = ", ".join(".".join(map(str, one["loc"])) or "the whole" for one in error.errors()[:5])
        raise Garbled(f"the access service answered something unexpected at {places}") from None
