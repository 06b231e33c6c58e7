"""Groups, service accounts, requests for access and waiting changes."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from aizen_hub.service.schemas.access import Scope
from aizen_hub.service.schemas.base import Moment, Name, Note, Schema
from aizen_hub.service.schemas.login import Provider


class NewGroup(Schema):
    name: Name
    description: Note = ""
    provider: Provider | None = None


class GroupChange(Schema):
    description: Note | None = None
    joined_by_everybody: bool | None = None


class NewAccount(Schema):
    name: Name
    description: Note = ""


class AccountChange(Schema):
    active: bool


class NewCredential(Schema):
    lifetime_seconds: Annotated[int, Field(ge=60, le=366 * 86_400)] | None = None


class NewRequest(Schema):
    role: Name
    scope: Scope
    reason: Note = ""
    until: Moment | None = None


class Approval(Schema):
    comment: Note = ""
    until: Moment | None = None


class RequestsQuery(Schema):
    which: Annotated[str, Field(pattern=r"^(mine|to-decide)$")] = "mine"
