"""Checks of the catalog, of settings that disable a protection, and of settings that do not fit together."""

from __future__ import annotations

import os
from collections.abc import Iterator

from aizen_hub.diagnosis.check_result import CheckResult, in_settings
from aizen_hub.diagnosis.installation import Installation

_MAX_HUB_DOWN_SECONDS = 3_600
_MAX_GROUP_AGE_SECONDS = 86_400
_MAX_CHECKPOINT_GRACE_SECONDS = 3_600
_COMMAND_OPTIONS = frozenset({"cmd", "args", "env", "environment", "user", "homedir", "req_prologue", "req_epilogue"})
"""Keys of `user_options` by which users of common spawners choose what runs, and as whom."""


def check_catalog(installation: Installation) -> Iterator[CheckResult]:
    try:
        catalog = installation.catalog
    except ValueError as error:
        for line in str(error).splitlines():
            yield CheckResult.error(
                "catalog",
                in_settings("catalog, overlays"),
                line,
                "correct the named file; see docs/explanation/catalogs.md",
            )
        return
    yield CheckResult.passed(
        "catalog", f"catalog {catalog.name}: {len(catalog.roles)} roles, {len(catalog.commands)} commands"
    )


def check_risky_settings(installation: Installation) -> Iterator[CheckResult]:
    """Report settings that disable a protection."""
    settings = installation.settings
    for provider in settings.providers:
        if provider.insecure_tls:
            yield CheckResult.warning(
                "insecure-tls",
                in_settings(f"providers.{provider.name}.insecure_tls"),
                f"the certificate of provider `{provider.name}` is not verified",
                "insecure_tls: false",
                production=True,
            )
    if not settings.confirm_protected:
        yield CheckResult.warning(
            "confirm-protected",
            in_settings("confirm_protected"),
            "protected roles are granted and revoked without confirmation",
            "confirm_protected: true",
        )
    if settings.insecure_same_uid:
        yield CheckResult.warning(
            "same-uid",
            in_settings("insecure_same_uid"),
            "user servers may run under the service's account: every user who runs code controls the system",
            "another spawner, and insecure_same_uid: false",
            production=True,
        )
    if settings.auto_register:
        yield CheckResult.warning(
            "auto-register",
            in_settings("auto_register"),
            "every user who can sign in is registered",
            "auto_register: false",
        )
    if settings.session.hub_down_grace_seconds > _MAX_HUB_DOWN_SECONDS:
        yield CheckResult.warning(
            "hub-down-grace",
            in_settings("session.hub_down_grace_seconds"),
            "sessions continue for more than an hour while no hub reports whether their servers still run",
            "session: {hub_down_grace_seconds: 600}",
        )
    if settings.group_max_age_seconds > _MAX_GROUP_AGE_SECONDS:
        yield CheckResult.warning(
            "group-max-age",
            in_settings("group_max_age_seconds"),
            "roles from groups stay for more than a day after the directory was last read",
            "group_max_age_seconds: 900",
        )
    if settings.checkpoint_grace_seconds > _MAX_CHECKPOINT_GRACE_SECONDS:
        yield CheckResult.warning(
            "checkpoint-grace",
            in_settings("checkpoint_grace_seconds"),
            "commands are decided for more than an hour while the audit cannot be signed",
            "checkpoint_grace_seconds: 300",
        )
    admin_provider = settings.admin_user.partition(":")[0]
    for hub in settings.further_hubs:
        if admin_provider in hub.providers:
            yield CheckResult.warning(
                "further-hub-providers",
                in_settings(f"further_hubs.{hub.id}.providers"),
                f"who has the secret of the hub `{hub.id}` can act as the administrator `{settings.admin_user}`, since"
                f" it signs in people of `{admin_provider}`",
                f"take {admin_provider} from further_hubs.{hub.id}.providers, or protect that hub like the service",
            )
    commands = sorted(_COMMAND_OPTIONS.intersection(settings.spawn.user_options))
    if commands:
        yield CheckResult.warning(
            "user-options",
            in_settings("spawn.user_options"),
            f"users choose what their servers run, and how: {', '.join(commands)}",
            "remove these keys from spawn.user_options",
            production=True,
        )


def check_conflicts(installation: Installation) -> Iterator[CheckResult]:
    """Report settings that have no effect, or fail later, because of others."""
    settings = installation.settings
    mail = settings.alerts.mail
    if mail is not None and mail.username and mail.password_file is None:
        yield CheckResult.error(
            "mail-password",
            in_settings("alerts.mail.password_file"),
            "no mail can be sent: `username` is set without a password",
            "set alerts.mail.password_file, or remove username",
        )
    if settings.alerts.has_webhook and settings.alerts.webhook_secret_file is None:
        yield CheckResult.warning(
            "webhook-secret",
            in_settings("alerts.webhook_secret_file"),
            "the webhook cannot tell our alerts from those of others, since they are not signed",
            "openssl rand -hex 32 into a file of mode 0600, and name it as alerts.webhook_secret_file",
        )
    if settings.core is None:
        yield CheckResult.warning(
            "core",
            in_settings("core"),
            "no core is configured: platform commands are decided but not executed",
            "core: {url: https://core.example.org}",
        )
    elif settings.core.credential_file is None:
        yield CheckResult.warning(
            "core-credential",
            in_settings("core.credential_file"),
            "the core cannot report the end of a job, since it has no credential",
            "openssl rand -hex 32 into a file of mode 0600 for both, and name it as core.credential_file",
        )
    if not settings.service.managed and settings.hub is None and not os.environ.get("JUPYTERHUB_API_URL"):
        yield CheckResult.warning(
            "hub-address",
            in_settings("hub"),
            "the service does not know its hub, so that panel and command line have no sign-in",
            "write `hub` into aizen.yaml, see docs/separate-service.md",
        )
    if settings.checkpoint_database is not None and settings.checkpoint_file is not None:
        yield CheckResult.warning(
            "checkpoint-file",
            in_settings("checkpoint_file"),
            "the checkpoints go to `checkpoint_database`, and `checkpoint_file` has no effect",
            "remove checkpoint_file",
        )
    metrics, service = settings.metrics, settings.service
    if metrics.port == service.port and metrics.host == service.host:
        yield CheckResult.error(
            "port-conflict",
            in_settings("metrics.port"),
            "metrics and service cannot listen at the same port",
            "give metrics.port another number, or remove it",
        )
