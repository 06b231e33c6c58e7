"""Further logins of a user."""

from __future__ import annotations

from aizen_hub.service.api.schemas.hub_logins import Provider
from aizen_hub.service.http.schema import Name, Schema


class NewLogin(Schema):
    """A (provider, subject) that shall sign in as a user."""

    provider: Provider
    subject: Name


class UnlinkQuery(Schema):
    last: bool = False  # also if nobody can sign in as this user afterwards
