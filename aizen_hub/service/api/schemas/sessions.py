"""Sessions: one start of one user server."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from aizen_hub.service.http.schema import Label, Name, Note, Open, Schema, Sha256

ServerName = Annotated[str, Field(max_length=255)]
"""A hub server's name; empty for the default server."""


class Opening(Schema):
    user: Name
    requester: Name
    server: ServerName
    project: Name | None
    credential: Sha256


class Opened(Open):
    session: str
    token: str
    expires_in: int
    project: str | None
    environment: dict[str, str]
    limits: dict[str, float | None]
    notice: str | None


class Ending(Schema):
    user: Name
    server: ServerName
    reason: Note


class Ended(Open):
    ended: int


class Server(Schema):
    user: Name
    server: ServerName


class Heartbeat(Schema):
    """The servers that live now, as the hub sees them."""

    live: Annotated[list[Server], Field(max_length=20_000)]
    admins: Annotated[list[Name], Field(max_length=1_000)] = Field(default=[])  # who uses the hub's admin page


class HeartbeatAnswer(Open):
    ended: list[Server]
    stop: list[Server]
    without: list[Server]
    no_admins: list[str]  # those of `admins` who may not any more


class ChoicesQuery(Schema):
    user: Name


class ProjectChoice(Open):
    name: str
    description: str
    roles: list[str]
    limits: dict[str, Any]


class Choices(Open):
    projects: list[ProjectChoice]
    system_session: bool
    notice: str | None


class SessionsQuery(Schema):
    user: Name | None = None


class EndOne(Schema):
    reason: Label = "ended by an administrator"
