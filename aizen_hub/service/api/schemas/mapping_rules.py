"""Schemas for mapping rules."""

from __future__ import annotations

from aizen_hub.api_models.schema import Name, ProviderName, Schema


class NewMapping(Schema):
    """A group of a provider, exact or as a template with one ``{project}``, and the role it grants."""

    provider: ProviderName
    group: Name
    role: Name
    project: Name | None = None
