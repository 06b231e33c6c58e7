"""Schemas for users."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from aizen_hub.api_models.schema import Label, Name, ProviderName, ResponseModel, Schema


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
    display_name: Label | None = None
    email: Label | None = None
    phone: Annotated[str, Field(max_length=40)] | None = None
    alerts: AlertChannels | None = None
    roles: Annotated[list[Name], Field(max_length=20)] = Field(default=[])
    password: Annotated[str | None, Field(min_length=1, max_length=1024)] = None


class UserChange(Schema):
    display_name: Label | None = None
    email: Label | None = None
    phone: Annotated[str, Field(max_length=40)] | None = None
    alerts: AlertChannelsChange | None = None


class NewUserResponse(ResponseModel):
    user: str
    activation: dict[str, Any] | None = None


class ProjectQuery(Schema):
    project: Name | None = None
