"""Schemas for users."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from aizen_hub.api_models.schema import Label, Name, Note, ProviderName, ResponseModel, Schema

MAX_TABLE = 1 << 20


class AlertChannels(Schema):
    """Channels by which a user receives alerts."""

    email: bool = False
    phone: bool = False


class AlertChannelsChange(Schema):
    """As `AlertChannels`; a channel that is not given stays as it is."""

    email: bool | None = None
    phone: bool | None = None


class NewUser(Schema):
    name: Name
    provider: ProviderName | None = None
    display_name: Note | None = None
    email: Label | None = None
    phone: Annotated[str, Field(max_length=40)] | None = None
    alerts: AlertChannels | None = None
    roles: Annotated[list[Name], Field(max_length=20)] = Field(default=[])
    password: Annotated[str | None, Field(min_length=1, max_length=1024)] = None


class UserChange(Schema):
    display_name: Note | None = None
    email: Label | None = None
    phone: Annotated[str, Field(max_length=40)] | None = None
    alerts: AlertChannelsChange | None = None


class NewUserResponse(ResponseModel):
    user: str
    activation: dict[str, Any] | None = None


class UserNameRelease(Schema):
    """With ``delete_hub_user`` the hub's record of the deleted user is deleted too."""

    delete_hub_user: bool = False


class ProjectQuery(Schema):
    project: Name | None = None


class UsersQuery(ProjectQuery):
    """``search`` is part of a name, a displayed name or, for managers of users, an address; in any case."""

    search: Label | None = None


class LinkQuery(Schema):
    """How to deliver an activation link: shown if the caller may see it and else by mail, or by mail in any case."""

    delivery: Literal["auto", "mail"] = "auto"


class UserImport(Schema):
    """People to register: CSV with a header, or a users file.

    ``mail_links`` sends each new local account that has an address its activation link.
    """

    table: Annotated[str, Field(max_length=MAX_TABLE)]
    mail_links: bool = False
