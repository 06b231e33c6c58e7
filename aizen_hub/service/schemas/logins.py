"""Further logins of a user."""

from __future__ import annotations

from aizen_hub.service.schemas.base import Name, Schema
from aizen_hub.service.schemas.login import Provider


class NewLogin(Schema):
    """A (provider, subject) that shall sign in as a user."""

    provider: Provider
    subject: Name


class UnlinkQuery(Schema):
    last: bool = False  # also if nobody can sign in as this user afterwards
