"""What the hub and the service talk to: directories, identity providers, the core, the mail server."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from aizen_hub.cli.doctor.finding import Finding
from aizen_hub.settings import ConfigurationError, ProviderSettings, Settings

_SECONDS = 3.0


def look(settings: Settings, folder: Path) -> Iterator[Finding]:
    """Ask each of them; relative paths of providers start in ``folder``, that of aizen.yaml."""
    for provider in settings.providers:
        try:
            if provider.kind == "ldap":
                yield _directory(provider, folder)
            elif provider.kind == "oidc":
                yield _identity_provider(provider, settings, folder)
        except ConfigurationError as error:
            yield Finding("fail", str(error))
    mail, core = settings.alerts.mail, settings.core
    if mail is not None:
        yield _port("the mail server", mail.host, mail.port)
    for what, url in (("the core", core.url if core else None), ("the webhook", settings.alerts.webhook_url)):
        if url is not None:
            parts = urlsplit(url)
            yield _port(what, parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80))


def _directory(provider: ProviderSettings, folder: Path) -> Finding:
    from aizen_hub.hub.login.ldap.config import lookup_password, place_of, read_ldap_config
    from aizen_hub.hub.login.ldap.connection import Deadline, Directory, DirectoryFailed

    traits = read_ldap_config(provider, folder)
    what, remedy = f"the directory `{provider.name}`", "check its address, certificate and firewall"
    deadline = Deadline(provider.deadline_seconds)
    try:
        with Directory(place_of(traits), deadline) as directory:
            account = traits.lookup_dn_search_user if traits.lookup_dn else ""
            if account and not directory.bind(account, lookup_password(traits)):
                return Finding("fail", f"{what} does not accept the lookup account", "lookup_dn_search_password_file")
    except DirectoryFailed as error:
        return Finding("fail", f"{what} does not answer as it must: {error}", remedy)
    except OSError as error:
        return Finding("fail", f"{what}: {error.strerror or type(error).__name__}", remedy)
    finally:
        deadline.cut()
    return Finding("ok", f"{what} answers" + (", and takes the lookup account" if account else ""))


def _identity_provider(provider: ProviderSettings, settings: Settings, folder: Path) -> Finding:
    from aizen_hub.hub.login.oidc.provider import OidcProvider
    from aizen_hub.hub.login.provider import ProviderUnreachable
    from aizen_hub.hub.login.provider_factory import groups_required

    what = f"the identity provider `{provider.name}`"
    found = OidcProvider(provider, folder, groups_required=groups_required(settings))

    async def ask() -> None:
        try:
            await found.begin()
        finally:
            found.close()

    try:
        asyncio.run(ask())
    except ProviderUnreachable as error:
        return Finding("fail", f"{what}: {error}", "check `issuer`, its certificate and the firewall")
    return Finding("ok", f"{what} answers" if found.issuer else f"{what} has no discovery, so it was not asked")


def _port(what: str, host: str, port: int) -> Finding:
    try:
        socket.create_connection((host, port), timeout=_SECONDS).close()
    except OSError as error:
        why = error.strerror or type(error).__name__
        return Finding("warn", f"{what} at {host}:{port} does not answer: {why}", "check its address and the firewall")
    return Finding("ok", f"{what} at {host}:{port} answers")
