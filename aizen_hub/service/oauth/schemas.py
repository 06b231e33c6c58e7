"""Forms and responses of the OAuth endpoints."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from aizen_hub.api_models.schema import Name, ResponseModel, Schema, Secret

ShortText = Annotated[str, Field(min_length=1, max_length=200)]
Token = Annotated[str, Field(min_length=1, max_length=8192, repr=False)]


class ExchangeForm(Schema):
    """RFC 8693, 2.1; ``project`` changes the session's project first."""

    grant_type: ShortText
    subject_token: Token
    subject_token_type: ShortText
    actor_token: Annotated[str | None, Field(min_length=1, max_length=8192, repr=False)] = None
    actor_token_type: ShortText | None = None
    requested_token_type: ShortText | None = None
    audience: ShortText | None = None
    resource: ShortText | None = None
    scope: Annotated[str, Field(min_length=1, max_length=2048)] | None = None
    project: Name | None = None


class ExchangeResponse(ResponseModel):
    access_token: Secret
    issued_token_type: str
    token_type: str
    expires_in: int
    project: str | None
    session: str


class TokenForm(Schema):
    """RFC 7662, 2.1 and RFC 7009, 2.1."""

    token: Token
    token_type_hint: ShortText | None = None


class IntrospectionResponse(ResponseModel):
    active: bool


class EmptyObject(ResponseModel):
    """An empty object."""


class KeySet(ResponseModel):
    keys: list[dict[str, str]]


class ServerMetadata(ResponseModel):
    """RFC 8414, 2."""

    issuer: str
    token_endpoint: str
    jwks_uri: str
