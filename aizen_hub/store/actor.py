"""Who makes a change or asks a question, and by which road they came."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from aizen_hub.rbac.identity import Identity


class Road(StrEnum):
    """The way a request came; none accepts another's credential."""

    KERNEL = "kernel"
    PANEL = "panel"
    CLI = "cli"
    SERVICE_ACCOUNT = "service-account"
    HUB = "hub"
    OPERATOR = "operator"  # on the service's own machine, past all roles
    POLICY = "policy"


@dataclass(frozen=True, slots=True)
class Actor:
    """Somebody behind a request.

    Attributes
    ----------
    identity : Identity
        Whose rights count.
    road : Road
    session : str or None
        Id of the session of a role token.
    project : str or None
        The session's project.
    acting : Identity or None
        Who really sits there, where somebody acts for ``identity`` (the ``act`` claim, R54).
    token_id : str or None
        ``jti`` of the role token.
    source : str or None
        Network address.
    fresh_until : datetime or None
        Until when a fresh sign-in counts for sensitive operations (R77).
    """

    identity: Identity
    road: Road
    session: str | None = None
    project: str | None = None
    acting: Identity | None = None
    token_id: str | None = None
    source: str | None = None
    fresh_until: datetime | None = None
