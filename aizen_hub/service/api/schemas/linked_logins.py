"""Schemas for the linked logins of a user."""

from __future__ import annotations

from aizen_hub.api_models.schema import Name, ProviderName, Schema


class NewLogin(Schema):
    """A (provider, subject) to link to a user."""

    provider: ProviderName
    subject: Name


class UnlinkQuery(Schema):
    last: bool = False  # unlink it even if it is the user's last login
