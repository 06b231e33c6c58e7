"""Sessions of user servers: what the hub opens, ends and reports, and the responses."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from aizen_hub.api_models.schema import CompleteResponse, Name, Note, Schema, Sha256

MAX_SERVERS = 20_000
MAX_ADMINS = 1_000

ServerName = Annotated[str, Field(max_length=255)]
"""The name of a hub server; empty for the default server."""


class OpenSessionRequest(Schema):
    """One start of one server; ``credential`` is the SHA-256 of the server's own hub token."""

    user: Name
    requester: Name
    server: ServerName
    project: Name | None
    credential: Sha256


class OpenSessionResponse(CompleteResponse):
    """A session: its role token (secret, hidden in ``repr``), the environment and the limits of the server.

    Attributes
    ----------
    expires_in : float
        Lifetime of the token in seconds.
    project : str, optional
        None for a system session.
    roles : tuple of str
        Which roles hold in it and where each comes from, as sentences for the page of the start.
    """

    session: str
    token: str = Field(repr=False)
    expires_in: float
    project: str | None = None
    environment: dict[str, str] = Field(default_factory=dict)
    limits: dict[str, float | None] = Field(default_factory=dict)
    roles: tuple[str, ...] = ()
    notice: str | None = None


class EndSessionsRequest(Schema):
    user: Name
    server: ServerName
    reason: Note


class EndSessionsResponse(CompleteResponse):
    """How many sessions were ended."""

    ended: int = 0


class LiveServer(Schema):
    """A server that the hub reports as running, starting or stopping."""

    user: Name
    server: ServerName


class HeartbeatRequest(Schema):
    """The live servers, and the users of the hub's admin page."""

    live: Annotated[list[LiveServer], Field(max_length=MAX_SERVERS)]
    admins: Annotated[list[Name], Field(max_length=MAX_ADMINS)] = Field(default=[])


class HubServer(CompleteResponse):
    """One server of the hub."""

    user: str
    server: str


class HeartbeatResponse(CompleteResponse):
    """How sessions and servers differ.

    Attributes
    ----------
    ended : tuple of HubServer
        Sessions that ended because their server is gone.
    stop : tuple of HubServer
        Servers that must be stopped, because their session has ended.
    without_session : tuple of HubServer
        Servers that never had a session.
    former_admins : tuple of str
        Those of the reported ``admins`` who may not use the admin page any more.
    """

    ended: tuple[HubServer, ...] = ()
    stop: tuple[HubServer, ...] = ()
    without_session: tuple[HubServer, ...] = ()
    former_admins: tuple[str, ...] = ()


class SpawnOptionsQuery(Schema):
    user: Name


class SpawnRole(CompleteResponse):
    """A role of the user in a project; ``ends`` is None where it has no end."""

    name: str
    text: str = ""
    ends: str | None = None


class SpawnLimit(CompleteResponse):
    """A limit in a project; ``used`` is None where nothing is used up, such as memory, which each server gets anew."""

    kind: str
    label: str
    value: float
    used: int | None = None


class SpawnProject(CompleteResponse):
    """One project that a user may start a server for; ``running_servers`` are the user's own."""

    name: str
    description: str | None = None
    roles: tuple[SpawnRole, ...] = ()
    limits: tuple[SpawnLimit, ...] = ()
    running_servers: int = 0
    last_used: str | None = None


class UnavailableSpawnProject(CompleteResponse):
    """One project that a user knows of and cannot start a server for, and why."""

    name: str
    description: str | None = None
    reason: str
    may_ask: bool = False


class PendingRequest(CompleteResponse):
    """A request of the user for a role in a project that was not decided yet."""

    role: str
    project: str
    sent: str


class SpawnOptionsResponse(CompleteResponse):
    """What the spawn page offers; ``askable_roles`` and ``pending_requests`` only where there is nothing to start."""

    projects: tuple[SpawnProject, ...] = ()
    system_session: bool = False
    notice: str | None = None
    unavailable: tuple[UnavailableSpawnProject, ...] = ()
    askable_roles: tuple[SpawnRole, ...] = ()
    pending_requests: tuple[PendingRequest, ...] = ()


class SpawnAccessRequest(Schema):
    """A request for a role in a project, from the form of the spawn page; ``duration`` such as ``30d``, or empty."""

    user: Name
    project: Name
    role: Name
    duration: Annotated[str, Field(max_length=20)] = ""
    because: Note = ""


class SpawnAccessResponse(CompleteResponse):
    """What became of a request from the spawn page, as a sentence."""

    message: str
