"""Schemas for groups, service accounts, access requests and pending changes."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, PrivateAttr, model_validator

from aizen_hub.accounts.service_accounts.credential_binding import MAX_NETWORKS
from aizen_hub.api_models.schema import Name, Note, ProviderName, Schema, Timestamp
from aizen_hub.service.api.schemas.access import Scope
from aizen_hub.tokens.jwk import PRIVATE_MEMBERS, PublicJwk


class NewGroup(Schema):
    name: Name
    description: Note = ""
    provider: ProviderName | None = None


class GroupChange(Schema):
    description: Note | None = None
    joined_by_new_users: bool | None = None


class NewAccount(Schema):
    name: Name
    description: Note = ""


class AccountChange(Schema):
    active: bool


KeyMember = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{43}$")]
Network = Annotated[str, Field(min_length=2, max_length=49)]


class Jwk(Schema):
    """A public key (RFC 7517), with its required members only."""

    kty: Literal["OKP", "EC"]
    crv: Literal["Ed25519", "P-256"]
    x: KeyMember
    y: KeyMember | None = None
    _thumbprint: str = PrivateAttr()

    @model_validator(mode="before")
    @classmethod
    def _reject_private_key(cls, data: Any) -> Any:
        if isinstance(data, dict) and data.keys() & PRIVATE_MEMBERS:
            raise ValueError("contains a private key, which must never be sent: create a new key pair")
        return data

    @model_validator(mode="after")
    def _compute_thumbprint(self) -> Jwk:
        self._thumbprint = PublicJwk.parse(self.model_dump(exclude_none=True)).thumbprint
        return self

    @property
    def thumbprint(self) -> str:
        """RFC 7638."""
        return self._thumbprint


class NewCredential(Schema):
    lifetime_seconds: Annotated[int, Field(ge=60, le=366 * 86_400)] | None = None
    jwk: Jwk | None = None
    networks: Annotated[list[Network], Field(min_length=1, max_length=MAX_NETWORKS)] | None = None


class NewAccessRequest(Schema):
    """A request; its end is ``until``, or ``duration`` after it is made, such as ``4h``."""

    role: Name
    scope: Scope
    reason: Note = ""
    until: Timestamp | None = None
    duration: Annotated[str, Field(max_length=40)] | None = None


class Approval(Schema):
    comment: Note = ""
    until: Timestamp | None = None


class RequestsQuery(Schema):
    which: Annotated[str, Field(pattern=r"^(mine|to-decide|all)$")] = "mine"
