"""What service accounts of remote workers send and get."""

from __future__ import annotations

from typing import Literal

from aizen_hub.service.http.schema import Name, Open, Schema


class Impersonation(Schema):
    user: Name
    project: Name | None = None


class ActingToken(Open):
    token: str
    token_type: Literal["Bearer"]
    expires_in: int
    session: str
    user: str
    project: str | None


class FileQuery(Schema):
    name: Name


class Files(Open):
    """A listing; no copy is authoritative."""

    authoritative: Literal[False]
    revision: int
    files: list[dict[str, str | int]]


class SignedFile(Open):
    name: str
    content: str
    sha256: str
    revision: int
    issued: str
    authoritative: Literal[False]
    signature: str
