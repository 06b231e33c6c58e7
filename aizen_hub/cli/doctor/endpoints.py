"""Checks of other servers that the hub and the service connect to: identity providers, core, mail, webhook."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from pathlib import Path

from aizen_hub.cli.doctor.secret_settings import find_webhook_url
from aizen_hub.diagnosis.check_result import CheckResult, in_settings
from aizen_hub.diagnosis.installation import Installation
from aizen_hub.settings import ConfigurationError, ProviderSettings, Settings
from aizen_hub.validation.web_address import split_address

_SECONDS = 3.0


def check_endpoints(installation: Installation) -> Iterator[CheckResult]:
    settings = installation.settings
    for provider in settings.providers:
        if provider.kind == "oidc":
            try:
                yield _check_identity_provider(provider, settings, installation.folder)
            except ConfigurationError as error:
                yield CheckResult.error(
                    "provider", in_settings(f"providers.{provider.name}"), str(error), "correct that key"
                )
    mail, core = settings.alerts.mail, settings.core
    if mail is not None:
        yield _check_port("alerts.mail.host", "the mail server", mail.host, mail.port)
    webhook_key, webhook_url = find_webhook_url(settings)
    for key, name, url in (
        ("core.url", "the core", core.url if core else None),
        (webhook_key, "the webhook", webhook_url),
    ):
        parts = None if url is None else split_address(url)
        if parts is not None and parts.hostname:
            yield _check_port(key, name, parts.hostname, parts.port or (443 if parts.scheme == "https" else 80))


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
        return CheckResult.error(
            "oidc",
            in_settings(f"providers.{provider.name}.config.issuer"),
            f"{name}: {error}",
            "check `issuer`, its certificate and the firewall",
        )
    return CheckResult.passed(
        "oidc",
        f"{name} responds" if oidc_provider.issuer else f"{name} has no discovery document, so it was not checked",
    )


def _check_port(key: str, name: str, host: str, port: int) -> CheckResult:
    try:
        socket.create_connection((host, port), timeout=_SECONDS).close()
    except OSError as error:
        error_text = error.strerror or type(error).__name__
        return CheckResult.warning(
            "unreachable",
            in_settings(key),
            f"{name} at {host}:{port} does not respond: {error_text}",
            "check its address and the firewall",
        )
    return CheckResult.passed("unreachable", f"{name} at {host}:{port} responds")
