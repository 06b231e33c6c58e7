"""HTML forms of the panel, as request bodies."""

from __future__ import annotations

from aizen_hub.api_models.schema import Schema, Secret


class Form(Schema):
    """A form of a panel page; without the XSRF token of its browser a change is refused (R115)."""

    xsrf: Secret
