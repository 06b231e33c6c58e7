"""Groups, service accounts, requests for access and waiting changes."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, PrivateAttr, model_validator

from aizen_hub.accounts.service_accounts.credential_binding import MOST_NETWORKS
from aizen_hub.service.api.schemas.access import Scope
from aizen_hub.service.api.schemas.hub_logins import Provider
from aizen_hub.service.http.schema import Moment, Name, Note, Schema
from aizen_hub.tokens.jwk import PRIVATE, PublicJwk


class NewGroup(Schema):
    name: Name
    description: Note = ""
    provider: Provider | None = None


class GroupChange(Schema):
    description: Note | None = None
    joined_by_everybody: bool | None = None


class NewAccount(Schema):
    name: Name
    description: Note = ""


class AccountChange(Schema):
    active: bool


Part = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{43}$")]
Network = Annotated[str, Field(min_length=2, max_length=49)]


class Jwk(Schema):
    """A public key (RFC 7517), with the members that make it and no others."""

    kty: Literal["OKP", "EC"]
    crv: Literal["Ed25519", "P-256"]
    x: Part
    y: Part | None = None
    _thumbprint: str = PrivateAttr()

    @model_validator(mode="before")
    @classmethod
    def _public(cls, given: Any) -> Any:
        if isinstance(given, dict) and given.keys() & PRIVATE:
            raise ValueError("holds the private half of a key, which is nobody's but its owner's: make a new key")
        return given

    @model_validator(mode="after")
    def _is_a_key(self) -> Jwk:
        self._thumbprint = PublicJwk.read(self.model_dump(exclude_none=True)).thumbprint
        return self

    @property
    def thumbprint(self) -> str:
        """RFC 7638."""
        return self._thumbprint


class NewCredential(Schema):
    lifetime_seconds: Annotated[int, Field(ge=60, le=366 * 86_400)] | None = None
    jwk: Jwk | None = None
    networks: Annotated[list[Network], Field(min_length=1, max_length=MOST_NETWORKS)] | None = None


class NewRequest(Schema):
    role: Name
    scope: Scope
    reason: Note = ""
    until: Moment | None = None


class Approval(Schema):
    comment: Note = ""
    until: Moment | None = None


class RequestsQuery(Schema):
    which: Annotated[str, Field(pattern=r"^(mine|to-decide)$")] = "mine"
