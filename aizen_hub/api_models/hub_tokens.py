"""The tokens of a user at the hub: the request of the service to ``/hub/api/aizen/tokens``, and the response."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from aizen_hub.api_models.schema import CompleteResponse, Name, Schema

MAX_TOKENS = 200
"""That one response lists, the newest first."""
TokenId = Annotated[str, Field(pattern=r"^a[0-9]{1,18}$")]


class HubTokensRequest(Schema):
    """Whose tokens are listed."""

    user: Name


class HubToken(CompleteResponse):
    """What the hub tells of a token; never the token itself.

    Attributes
    ----------
    id : str
        The hub's id of it.
    note : str
        What the user, or the hub for the token of a server, wrote to it.
    client : str
        To which program or service it was issued.
    created, last_used, expires : str or None
        ISO times.
    """

    id: TokenId
    note: str = ""
    client: str = ""
    created: str | None = None
    last_used: str | None = None
    expires: str | None = None


class HubTokensResponse(CompleteResponse):
    """The tokens of a user that belong to no browser; ``more``: there are others, which are not listed."""

    tokens: tuple[HubToken, ...] = ()
    more: bool = False
