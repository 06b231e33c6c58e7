"""Mapping rules."""

from __future__ import annotations

from aizen_hub.service.schemas.base import Name, Schema
from aizen_hub.service.schemas.login import Provider


class NewMapping(Schema):
    """A group of a provider, exact or as a template with one ``{project}``, and the role it gives."""

    provider: Provider
    group: Name
    role: Name
    project: Name | None = None
