"""The request that redeems an activation link."""

from __future__ import annotations

from aizen_hub.api_models.schema import Schema, Secret


class Activation(Schema):
    """The token of an activation link, and the password that the user chose."""

    token: Secret
    password: Secret
