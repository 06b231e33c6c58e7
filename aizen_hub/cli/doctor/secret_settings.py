"""Checks of the secrets that aizen.yaml names or contains."""

from __future__ import annotations

import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from aizen_hub.diagnosis.check_result import CheckResult, in_settings
from aizen_hub.diagnosis.installation import Installation
from aizen_hub.hub_settings import FurtherHubSettings
from aizen_hub.secret_files import SecretFileError, read_password, read_secret
from aizen_hub.settings import Settings


class _SecretFile(NamedTuple):
    """A file with a secret: the key that names it, how it is read, and how it is made."""

    key: str
    path: Path
    read: Callable[[Path], str]
    create: str


def check_secret_files(installation: Installation) -> Iterator[CheckResult]:
    settings = installation.settings
    contents: dict[str, str] = {}
    for file in _list_secret_files(installation):
        try:
            contents[file.key] = file.read(file.path)
        except SecretFileError as error:
            if file.key == "hub_secret_file" and not file.path.parent.is_dir():
                continue  # reported with the data folder
            if error.missing and file.key == "hub_secret_file":
                yield from _report_missing_hub_secret(installation, file.path)
                continue
            private = f"let {file.path} be a plain file of the service's account, with mode 0600"
            remedy = error.remedy or (file.create if error.missing else private)
            yield CheckResult.error(
                "secret-file",
                in_settings(file.key),
                f"the secret file {file.path} {error.reason}",
                remedy.removeprefix("run ").strip("`"),
            )
    named = [(key, contents[key]) for key in _shared_files(settings) if key in contents]
    for position, (key, content) in enumerate(named):
        for other_key, other in named[:position]:
            if content == other:
                yield CheckResult.error(
                    "shared-secret",
                    in_settings(key),
                    f"`{key}` and `{other_key}` hold the same secret, so who has one has both",
                    f"give `{key}` its own: openssl rand -hex 32 > {_shared_files(settings)[key]}",
                )
    yield from _check_key_encryption_file(settings)


def check_inline_secrets(installation: Installation) -> Iterator[CheckResult]:
    """Report passwords written into aizen.yaml: an error if other accounts can read it."""
    text = installation.config_path.read_text(encoding="utf-8")
    is_open = bool(stat.S_IMODE(installation.config_path.stat().st_mode) & 0o044)
    for key, secret, instead in _list_inline_secrets(installation.settings):
        if secret not in text:
            continue  # an override of the environment
        if is_open:
            yield CheckResult.error(
                "open-config-file",
                in_settings(key),
                f"other accounts can read the secret in {installation.config_path}",
                f"chmod 600 {installation.config_path}; and {instead}",
            )
        else:
            yield CheckResult.warning(
                "inline-secret", in_settings(key), "a secret is written into the configuration file", instead
            )


def find_webhook_url(settings: Settings) -> tuple[str, str | None]:
    """Return the key of the address of the webhook, and the address; None where its file cannot be read (see there)."""
    alerts = settings.alerts
    if alerts.webhook_url_file is None:
        return "alerts.webhook_url", alerts.webhook_url
    try:
        return "alerts.webhook_url_file", alerts.read_webhook_url()
    except SecretFileError:
        return "alerts.webhook_url_file", None


def _list_secret_files(installation: Installation) -> Iterator[_SecretFile]:
    settings = installation.settings
    create = "umask 077; openssl rand -hex 32 > {}"
    given = "write what its server issued into it, with mode 0600: install -m 600 /dev/stdin {}"
    copied = "copy service-api-token from the data folder of the hub to {}, with mode 0600"
    mail = settings.alerts.mail
    files: list[tuple[str, Path | None, Callable[[Path], str], str]] = [
        ("hub_secret_file", settings.hub_secret_path, read_secret, create),
        ("core.credential_file", settings.core.credential_file if settings.core else None, read_secret, create),
        ("hub.api_token_file", settings.api_token_path if settings.hub else None, read_secret, copied),
        ("metrics.token_file", settings.metrics.token_file, read_secret, create),
        ("database_password_file", settings.database_password_file, read_password, given),
        ("checkpoint_database_password_file", settings.checkpoint_database_password_file, read_password, given),
        ("alerts.mail.password_file", mail.password_file if mail else None, read_password, given),
        ("alerts.webhook_url_file", settings.alerts.webhook_url_file, read_password, given),
        ("alerts.webhook_secret_file", settings.alerts.webhook_secret_file, read_password, create),
    ]
    files += [(_key_of(hub), hub.secret_file, read_secret, create) for hub in settings.further_hubs]
    for provider in settings.providers:
        for name in ("lookup_dn_search_password_file", "client_secret_file"):
            if value := provider.config.get(name):
                path = installation.folder / str(value)
                files.append((f"providers.{provider.name}.config.{name}", path, read_password, given))
    for key, file, read, remedy in files:
        if file is not None:
            yield _SecretFile(key, file, read, remedy.format(file))


def _report_missing_hub_secret(installation: Installation, path: Path) -> Iterator[CheckResult]:
    settings = installation.settings
    if settings.is_further_hub:
        yield CheckResult.error(
            "hub-secret",
            in_settings("hub_secret_file"),
            f"the hub secret {path} is missing, so the hub does not start",
            "copy the file that further_hubs of the service's aizen.yaml names for this hub, with mode 0600",
        )
        return
    if installation.is_new:
        return  # whichever of hub and service starts first creates it
    if settings.uses_sqlite and settings.service.managed:
        yield CheckResult.warning(
            "hub-secret",
            in_settings("hub_secret_file"),
            f"the hub secret {path} is missing: hub and service refuse each other until both are restarted",
            "restart the hub, which creates it and starts the service",
        )
        return
    yield CheckResult.error(
        "hub-secret",
        in_settings("hub_secret_file"),
        f"the hub secret {path} is missing, so the service does not start",
        "copy it from the machine of the hub, which creates it at its first start, with mode 0600",
    )


def _check_key_encryption_file(settings: Settings) -> Iterator[CheckResult]:
    from aizen_hub.tokens.key_encryption import UNUSABLE, KeyEncryption, KeyFileError

    path = settings.key_encryption_path
    if not path.exists():
        if not settings.uses_sqlite:
            yield CheckResult.error(
                "key-encryption-file",
                in_settings("key_encryption_file"),
                f"the key-encryption file {path} does not exist",
                "copy it from another replica or its backup; for a new installation create it: aizen-hub keys init",
            )
        return
    try:
        KeyEncryption.load(path)
    except KeyFileError as error:
        is_open = error.fault.code == UNUSABLE and path.is_file() and stat.S_IMODE(path.stat().st_mode) & 0o077
        yield CheckResult.error(
            "key-encryption-file",
            in_settings("key_encryption_file"),
            f"{error.fault.sentence}: {path}",
            f"chmod 600 {path}" if is_open else error.fault.remedy,
        )


def _list_inline_secrets(settings: Settings) -> Iterator[tuple[str, str, str]]:
    """Yield key, secret, and what to do instead."""
    from aizen_hub.store.database import database_url

    for key, url in (("database", settings.database), ("checkpoint_database", settings.checkpoint_database)):
        password = None if url is None else database_url(url).password
        if password:
            instead = f"write the password into a file of mode 0600, and name that as {key}_password_file"
            yield key, str(password), instead
    for provider in settings.providers:
        for name, file in (
            ("lookup_dn_search_password", "lookup_dn_search_password_file"),
            ("client_secret", "client_secret_file"),
        ):
            value: Any = provider.config.get(name)
            if isinstance(value, str) and value:
                yield (
                    f"providers.{provider.name}.config.{name}",
                    value,
                    f"write it into a file of mode 0600, and name that as {file}",
                )


def _shared_files(settings: Settings) -> dict[str, Path | None]:
    """Return the files by which others prove themselves to the service, by the key that names each."""
    return {
        "hub_secret_file": settings.hub_secret_path,
        **{_key_of(hub): hub.secret_file for hub in settings.further_hubs},
        "core.credential_file": settings.core.credential_file if settings.core else None,
        "metrics.token_file": settings.metrics.token_file,
    }


def _key_of(hub: FurtherHubSettings) -> str:
    return f"further_hubs.{hub.id}.secret_file"
