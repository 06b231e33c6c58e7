"""Construction of the providers that aizen.yaml configures."""

from __future__ import annotations

import asyncio
from pathlib import Path

from aizen_hub.catalogs.loader import CatalogError, load_catalog
from aizen_hub.client.service_client import ServiceClient
from aizen_hub.hub.login.ldap.provider import LdapProvider
from aizen_hub.hub.login.local_provider import LocalProvider
from aizen_hub.hub.login.oidc.provider import OidcProvider
from aizen_hub.hub.login.provider import Provider
from aizen_hub.hub.login.throttled_provider import ThrottledProvider
from aizen_hub.settings import ConfigurationError, ProviderSettings, Settings


def build_providers(settings: Settings, service: ServiceClient, base_dir: Path) -> dict[str, Provider]:
    """Return the providers by name, in the order of the file.

    Parameters
    ----------
    base_dir : Path
        Base of relative paths in provider settings: the directory of aizen.yaml.

    Raises
    ------
    ConfigurationError
        A provider's settings are invalid; names the key and the fix.
    """
    providers: dict[str, Provider] = {}
    for entry in settings.providers:
        if entry.authenticator and entry.kind != "oidc":
            raise ConfigurationError(
                f"`providers.{entry.name}.authenticator`: has no effect for `{entry.kind}`: remove it"
            )
        providers[entry.name] = _build_provider(entry, settings, service, base_dir)
    return providers


def _build_provider(entry: ProviderSettings, settings: Settings, service: ServiceClient, base_dir: Path) -> Provider:
    match entry.kind:
        case "ldap":
            return ThrottledProvider(LdapProvider(entry, base_dir), service)
        case "local":
            return LocalProvider(entry, service)
        case "oidc":
            return OidcProvider(entry, base_dir, groups_required=is_groups_claim_required(settings))


def start_checks(provider: Provider) -> list[asyncio.Task[None]]:
    """Start the checks of a provider that only log, so that the start of the hub does not wait for a directory."""
    directory = provider.provider if isinstance(provider, ThrottledProvider) else provider
    return [asyncio.ensure_future(directory.report_group_fault())] if isinstance(directory, LdapProvider) else []


def is_groups_claim_required(settings: Settings) -> bool:
    """Return whether the catalog requires that identity providers report groups of every user."""
    try:
        return load_catalog(settings.catalog, settings.overlays).groups_claim_required
    except CatalogError as error:
        raise ConfigurationError(str(error)) from None
