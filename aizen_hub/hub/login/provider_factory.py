"""From ``providers`` in aizen.yaml to the objects that do it."""

from __future__ import annotations

from pathlib import Path

from aizen_hub.catalogs.loader import CatalogError, load_catalog
from aizen_hub.client.service_client import HubRoad
from aizen_hub.hub.login.ldap.provider import LdapProvider
from aizen_hub.hub.login.local_provider import LocalProvider
from aizen_hub.hub.login.oidc.provider import OidcProvider
from aizen_hub.hub.login.provider import Provider
from aizen_hub.hub.login.throttled_provider import Counted
from aizen_hub.settings import ConfigurationError, ProviderSettings, Settings


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
        if one.authenticator and one.kind != "oidc":
            raise ConfigurationError(f"`providers.{one.name}.authenticator`: has no effect for `{one.kind}`: remove it")
        providers[one.name] = _provider(one, settings, road, folder)
    return providers


def _provider(one: ProviderSettings, settings: Settings, road: HubRoad, folder: Path) -> Provider:
    match one.kind:
        case "ldap":
            return Counted(LdapProvider(one, folder), road)
        case "local":
            return LocalProvider(one, road)
        case "oidc":
            return OidcProvider(one, folder, groups_required=groups_required(settings))


def groups_required(settings: Settings) -> bool:
    """Whether the catalog lets nobody in of whom an identity provider tells no groups."""
    try:
        return load_catalog(settings.catalog, settings.overlays).groups_claim_required
    except CatalogError as error:
        raise ConfigurationError(str(error)) from None
