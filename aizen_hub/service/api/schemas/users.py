"""Users."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from aizen_hub.service.api.schemas.hub_logins import Provider
from aizen_hub.service.http.schema import Label, Name, Open, Schema


class Alerts(Schema):
    """By which ways somebody wants to be told."""

    email: bool = False
    phone: bool = False


class AlertsChange(Schema):
    """As `Alerts`; a way that is not named stays as it is."""

    email: bool | None = None
    phone: bool | None = None


class NewUser(Schema):
    name: Name
    provider: Provider | None = None
    display_name: Label | None = None
    email: Label | None = None
    phone: Annotated[str, Field(max_length=40)] | None = None
    alerts: Alerts | None = None
    roles: Annotated[list[Name], Field(max_length=20)] = Field(default=[])
    password: Annotated[str | None, Field(min_length=1, max_length=1024)] = None


class UserChange(Schema):
    display_name: Label | None = None
    email: Label | None = None
    phone: Annotated[str, Field(max_length=40)] | None = None
    alerts: AlertsChange | None = None


class NewUserAnswer(Open):
    user: str
    activation: dict[str, Any] | None = None


class ProjectQuery(Schema):
    project: Name | None = None
