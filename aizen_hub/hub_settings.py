"""The sections `hub` and `further_hubs` of ``aizen.yaml``: the hubs that one service serves."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Annotated

from pydantic import Field, field_validator

from aizen_hub.settings_source import Address, Section

PanelAddress = Annotated[Address, Field(pattern=r"^https?://[^/\s@?#]+/([^\s?#]+/)?$")]
"""The panel in browsers, with a slash at its end."""

MAIN_HUB = "main"
"""The id of the hub of `hub` and `hub_secret_file`, at which people sign in to the panel."""


class HubSettings(Section):
    """How a service that the hub does not start reaches the hub; one that the hub starts gets this from the hub.

    ``url`` is the address of the hub in browsers, ``api_url`` that of its API for the service. ``subdomains`` says that
    ``url`` is also the hub's ``subdomain_host``.
    """

    url: Annotated[Address, Field(pattern=r"^https?://[^/\s]+/?$")]
    api_url: Annotated[Address, Field(pattern=r"^https?://[^/\s]+/.*$")]
    api_token_file: Path | None = None
    client_id: str = "service-aizen"
    base_url: Annotated[str, Field(pattern=r"^/(.*/)?$")] = "/"
    subdomains: bool = True


class FurtherHubSettings(Section):
    """A further hub: the name of its servers' name space, its own secret, and its API for revocations.

    ``providers`` are those whose people it may sign in. Who has its secret can act as any of these people.
    """

    id: Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,31}$")]
    secret_file: Path
    api_url: Annotated[Address, Field(pattern=r"^https?://[^/\s@?#]+/\S*$")]
    providers: Annotated[tuple[str, ...], Field(min_length=1)]

    @field_validator("id")
    @classmethod
    def _check_id(cls, value: str) -> str:
        if value == MAIN_HUB:
            raise ValueError(f"`{MAIN_HUB}` is the hub of `hub` and `hub_secret_file`: choose another id")
        return value


def check_further_hubs(hubs: Sequence[FurtherHubSettings], providers: Collection[str]) -> None:
    """Refuse hubs that have an id in common, or a provider that is not among ``providers``.

    Raises
    ------
    ValueError
    """
    ids = [hub.id for hub in hubs]
    repeated = sorted({id for id in ids if ids.count(id) > 1})
    if repeated:
        raise ValueError(f"two of `further_hubs` are called `{repeated[0]}`: give each its own `id`")
    for hub in hubs:
        unknown = sorted(set(hub.providers) - set(providers))
        if unknown:
            raise ValueError(
                f"`further_hubs` gives `{hub.id}` the provider `{unknown[0]}`, which is not in `providers`: "
                f"{', '.join(providers)}"
            )
