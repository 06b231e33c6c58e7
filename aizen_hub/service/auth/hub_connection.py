"""The connection of this service to one of its hubs."""

from __future__ import annotations

from dataclasses import dataclass, field

from aizen_hub.service.auth.hub_api import HubApiClient


@dataclass(frozen=True, slots=True)
class HubConnection:
    """A hub that uses this service.

    Attributes
    ----------
    id : str
        `MAIN_HUB`, or that of a further hub in the settings.
    secret : str
        What this hub and the service prove themselves to each other with.
    api : HubApiClient
    """

    id: str
    secret: str = field(repr=False)
    api: HubApiClient
