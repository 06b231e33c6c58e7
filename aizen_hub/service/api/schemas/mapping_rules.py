"""Mapping rules."""

from __future__ import annotations

from aizen_hub.service.api.schemas.hub_logins import Provider
from aizen_hub.service.http.schema import Name, Schema


class NewMapping(Schema):
    """A group of a provider, exact or as a template with one ``{project}``, and the role it gives."""

    provider: Provider
    group: Name
    role: Name
    project: Name | None = None
