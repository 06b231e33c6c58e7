"""Checks of the servers that the hub and the service connect to: directories, identity providers, core, mail."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from aizen_hub.cli.doctor.check_result import CheckResult
from aizen_hub.settings import ConfigurationError, ProviderSettings, Settings

if TYPE_CHECKING:
    from aizen_hub.hub.login.ldap.config import LdapConfig

_SECONDS = 3.0


def check_endpoints(settings: Settings, folder: Path) -> Iterator[CheckResult]:
    """Connect to each server; relative paths in provider settings start at ``folder``, the folder of aizen.yaml."""
    for provider in settings.providers:
        try:
            if provider.kind == "ldap":
                yield from _check_directory(provider, folder)
            elif provider.kind == "oidc":
                yield _check_identity_provider(provider, settings, folder)
        except ConfigurationError as error:
            yield CheckResult("fail", str(error))
    mail, core = settings.alerts.mail, settings.core
    if mail is not None:
        yield _check_port("the mail server", mail.host, mail.port)
    for name, url in (("the core", core.url if core else None), ("the webhook", settings.alerts.webhook_url)):
        if url is not None:
            parts = urlsplit(url)
            yield _check_port(name, parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80))


def _check_directory(provider: ProviderSettings, folder: Path) -> Iterator[CheckResult]:
    from aizen_hub.hub.login.ldap.config import read_ldap_config
    from aizen_hub.hub.login.ldap.differences import find_differences
    from aizen_hub.hub.login.ldap.provider import LdapProvider
    from aizen_hub.hub.login.provider import ProviderUnreachableError

    traits = read_ldap_config(provider, folder)
    for setting, effect, instead in find_differences(traits):
        yield CheckResult(
            "warn", f"`providers.{provider.name}.config.{setting}`: {effect}", f"{instead}; see docs/ldap.md"
        )
    result = _check_directory_connection(provider, traits)
    yield result
    if result.level != "ok":
        return
    directory = LdapProvider(provider, folder)
    try:
        fault = asyncio.run(directory.find_group_fault())
    except ProviderUnreachableError as error:
        yield CheckResult("warn", f"the groups of `{provider.name}` were not checked: {error}", "run it again")
        return
    finally:
        directory.close()
    if fault:
        yield CheckResult("warn", f"the directory `{provider.name}`: {fault}", "group_search_base; see docs/ldap.md")


def _check_directory_connection(provider: ProviderSettings, traits: LdapConfig) -> CheckResult:
    from aizen_hub.hub.login.ldap.config import build_server_pool, read_lookup_password
    from aizen_hub.hub.login.ldap.connection import Deadline, DirectoryError, LdapConnection

    name, remedy = f"the directory `{provider.name}`", "check its address, certificate and firewall"
    deadline = Deadline(provider.deadline_seconds)
    try:
        with LdapConnection(build_server_pool(traits), deadline) as directory:
            account = traits.lookup_dn_search_user if traits.lookup_dn else ""
            if account and not directory.bind(account, read_lookup_password(traits)):
                return CheckResult("fail", f"{name} rejects the lookup account", "lookup_dn_search_password_file")
    except DirectoryError as error:
        return CheckResult("fail", f"{name} does not respond correctly: {error}", remedy)
    except OSError as error:
        return CheckResult("fail", f"{name}: {error.strerror or type(error).__name__}", remedy)
    finally:
        deadline.cancel()
    return CheckResult("ok", f"{name} responds" + (" and accepts the lookup account" if account else ""))


def _check_identity_provider(provider: ProviderSettings, settings: Settings, folder: Path) -> CheckResult:
    from aizen_hub.hub.login.oidc.provider import OidcProvider
    from aizen_hub.hub.login.provider import ProviderUnreachableError
    from aizen_hub.hub.login.provider_factory import is_groups_claim_required

    name = f"the identity provider `{provider.name}`"
    oidc_provider = OidcProvider(provider, folder, groups_required=is_groups_claim_required(settings))

    async def start() -> None:
        try:
            await oidc_provider.prepare_login()
        finally:
            oidc_provider.close()

    try:
        asyncio.run(start())
    except ProviderUnreachableError as error:
        return CheckResult("fail", f"{name}: {error}", "check `issuer`, its certificate and the firewall")
    return CheckResult(
        "ok", f"{name} responds" if oidc_provider.issuer else f"{name} has no discovery document, so it was not checked"
    )


def _check_port(name: str, host: str, port: int) -> CheckResult:
    try:
        socket.create_connection((host, port), timeout=_SECONDS).close()
    except OSError as error:
        error_text = error.strerror or type(error).__name__
        return CheckResult(
            "warn", f"{name} at {host}:{port} does not respond: {error_text}", "check its address and the firewall"
        )
    return CheckResult("ok", f"{name} at {host}:{port} responds")
