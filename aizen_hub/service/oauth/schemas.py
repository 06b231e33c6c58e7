"""Forms and answers of the OAuth endpoints."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from aizen_hub.service.http.schema import Name, Open, Schema, Secret

Word = Annotated[str, Field(min_length=1, max_length=200)]
Token = Annotated[str, Field(min_length=1, max_length=8192, repr=False)]


class ExchangeForm(Schema):
    """RFC 8693, 2.1, and ``project``, which changes the session's project first."""

    grant_type: Word
    subject_token: Token
    subject_token_type: Word
    actor_token: Annotated[str | None, Field(min_length=1, max_length=8192, repr=False)] = None
    actor_token_type: Word | None = None
    requested_token_type: Word | None = None
    audience: Word | None = None
    resource: Word | None = None
    scope: Annotated[str, Field(min_length=1, max_length=2048)] | None = None
    project: Name | None = None


class ExchangeAnswer(Open):
    access_token: Secret
    issued_token_type: str
    token_type: str
    expires_in: int
    project: str | None
    session: str


class TokenForm(Schema):
    """RFC 7662, 2.1 and RFC 7009, 2.1."""

    token: Token
    token_type_hint: Word | None = None


class IntrospectionAnswer(Open):
    active: bool


class Nothing(Open):
    """An empty object."""


class KeySet(Open):
    keys: list[dict[str, str]]


class ServerMetadata(Open):
    """RFC 8414, 2."""

    issuer: str
    token_endpoint: str
    jwks_uri: str
