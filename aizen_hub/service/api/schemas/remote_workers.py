"""Schemas for remote workers."""

from __future__ import annotations

from typing import Literal

from aizen_hub.api_models.schema import Name, ResponseModel, Schema


class ImpersonationRequest(Schema):
    user: Name
    project: Name | None = None


class ActingToken(ResponseModel):
    token: str
    token_type: Literal["Bearer"]
    expires_in: int
    session: str
    user: str
    project: str | None


class FileQuery(Schema):
    name: Name


class FileList(ResponseModel):
    """A listing; no copy is authoritative."""

    authoritative: Literal[False]
    revision: int
    files: list[dict[str, str | int]]


class SignedFile(ResponseModel):
    name: str
    content: str
    sha256: str
    revision: int
    issued: str
    authoritative: Literal[False]
    signature: str
