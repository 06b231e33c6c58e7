"""Schemas for the administration of sessions."""

from __future__ import annotations

from aizen_hub.api_models.schema import Name, Note, Schema


class SessionsQuery(Schema):
    user: Name | None = None


class SessionEnd(Schema):
    reason: Note = "ended by an administrator"
