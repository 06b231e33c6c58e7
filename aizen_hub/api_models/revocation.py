"""Revocation at the hub: the request of the service to ``/hub/api/aizen/revoke``, and the response."""

from __future__ import annotations

from pydantic import Field

from aizen_hub.api_models.hub_tokens import TokenId
from aizen_hub.api_models.schema import CompleteResponse, Name, Schema

HUB_USER_EXISTS = "hub-user-exists"
"""Reason of a refusal to release the name of a user of whom the hub still has a record."""


class RevocationRequest(Schema):
    """A user whose access at the hub ends.

    Attributes
    ----------
    delete : bool
        The record of the user at the hub is deleted too, so that the name can be released.
    sign_out : int, optional
        The revision that changed how the user signs in: servers and their tokens are kept. None to end everything.
    token_id : str, optional
        The hub's id of one token: only that one is deleted.
    """

    user: Name
    token_id: TokenId | None = None
    delete: bool = False
    sign_out: int | None = None


class RevocationResponse(CompleteResponse):
    """How many hub tokens were deleted and servers stopped."""

    tokens: int = Field(default=0, ge=0)
    servers: int = Field(default=0, ge=0)
