"""The actor of a request, and the channel that the request came by."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from aizen_hub.hub_settings import MAIN_HUB
from aizen_hub.rbac.identity import Identity


class Channel(StrEnum):
    """How a request came in. Each channel accepts its own credentials only."""

    KERNEL = "kernel"
    PANEL = "panel"
    CLI = "cli"
    SERVICE_ACCOUNT = "service-account"
    HUB = "hub"
    OPERATOR = "operator"  # a command on the service's own machine, which needs no role
    POLICY = "policy"


@dataclass(frozen=True, slots=True)
class Actor:
    """The identity behind a request.

    Attributes
    ----------
    identity : Identity
        Whose rights are checked.
    channel : Channel
    session : str or None
        Id of the session of a role token.
    project : str or None
        The session's project.
    acting : Identity or None
        The identity that sent the request on behalf of ``identity`` (the ``act`` claim, R54).
    token_id : str or None
        ``jti`` of the role token.
    source : str or None
        Network address.
    recent_login_until : datetime or None
        Until when the last interactive login counts as recent, which sensitive operations need (R77).
    hub : str
        Id of the hub that sent the request, by its secret: the one whose sessions it can open, end and report.
    """

    identity: Identity
    channel: Channel
    session: str | None = None
    project: str | None = None
    acting: Identity | None = None
    token_id: str | None = None
    source: str | None = None
    recent_login_until: datetime | None = None
    hub: str = MAIN_HUB
