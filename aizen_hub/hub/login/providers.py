"""From ``providers`` in aizen.yaml to the objects that do it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from aizen_hub.client.hub_road import HubRoad
from aizen_hub.hub.login.counted import Counted
from aizen_hub.hub.login.ldap import LdapProvider
from aizen_hub.hub.login.local import LocalProvider
from aizen_hub.hub.login.oidc import OidcProvider
from aizen_hub.hub.login.provider import Provider
from aizen_hub.settings import ConfigurationError, ProviderSettings, Settings

_KINDS: Mapping[str, Callable[[ProviderSettings, HubRoad, Path], Provider]] = {
    "ldap": lambda settings, road, folder: Counted(LdapProvider(settings, folder), road),
    "local": lambda settings, road, folder: LocalProvider(settings, road),
    "oidc": lambda settings, road, folder: OidcProvider(settings, folder),
}


def build_providers(settings: Settings, road: HubRoad, folder: Path) -> dict[str, Provider]:
    """Return the providers by name, in the order of the file.

    Parameters
    ----------
    folder : Path
        Where relative paths in provider settings start: the folder of aizen.yaml.

    Raises
    ------
    ConfigurationError
        A provider cannot work as it is configured; names the key and the fix.
    """
    providers: dict[str, Provider] = {}
    for one in settings.providers:
        kind = _KINDS[one.kind]
        if one.authenticator and one.kind != "oidc":
            raise ConfigurationError(f"`providers.{one.name}.authenticator`: has no effect for `{one.kind}`: remove it")
        providers[one.name] = kind(one, road, folder)
    return providers
