"""Checks of versions, files, the catalog, and settings that disable a protection."""

from __future__ import annotations

import stat
import sys
from collections.abc import Iterator
from importlib import metadata

from aizen_hub.cli.doctor.check_result import CheckResult
from aizen_hub.secret_files import SecretFileError, read_secret
from aizen_hub.settings import Settings

FLOORS = {
    "jupyterhub": (6, 1),
    "oauthenticator": (17, 4),
    "jupyterhub-ldapauthenticator": (2, 0, 2),
    "pyjwt": (2, 12),
    "tornado": (6, 5, 5),
}


def check_versions() -> Iterator[CheckResult]:
    for name, floor in FLOORS.items():
        installed = metadata.version(name)
        numbers = tuple(int(part) for part in installed.split(".")[: len(floor)] if part.isdigit())
        if numbers < floor:
            yield CheckResult(
                "fail", f"{name} {installed} is too old", f"pip install '{name}>={'.'.join(map(str, floor))}'"
            )
    yield CheckResult("ok", f"aizen-hub {metadata.version('aizen-hub')} on Python {sys.version.split()[0]}")


def check_files(settings: Settings) -> Iterator[CheckResult]:
    folder = settings.data_dir
    if not folder.exists():
        yield CheckResult(
            "warn", f"{folder} does not exist yet", "the hub or the service creates it at its first start"
        )
        return
    if stat.S_IMODE(folder.stat().st_mode) & 0o077:
        yield CheckResult("fail", f"other accounts can open {folder}", f"chmod 700 {folder}")
    core_credential = settings.core.credential_file if settings.core else None
    for path in (settings.hub_secret_path, core_credential, settings.metrics.token_file):
        if path is not None and path.exists():
            try:
                read_secret(path)
            except SecretFileError as error:
                yield CheckResult("fail", str(error))
    for path in sorted(folder.iterdir()):
        if path.is_file() and stat.S_IMODE(path.stat().st_mode) & 0o077:
            yield CheckResult("fail", f"other accounts can read {path}", f"chmod 600 {path}")


def check_catalog(settings: Settings) -> Iterator[CheckResult]:
    from aizen_hub.catalogs.loader import load_catalog

    try:
        catalog = load_catalog(settings.catalog, settings.overlays)
    except ValueError as error:
        yield CheckResult("fail", str(error))
        return
    yield CheckResult("ok", f"catalog {catalog.name}: {len(catalog.roles)} roles, {len(catalog.commands)} commands")


def check_risky_settings(settings: Settings) -> Iterator[CheckResult]:
    """Report settings that disable a protection."""
    for provider in settings.providers:
        if provider.insecure_tls:
            yield CheckResult(
                "warn",
                f"the certificate of provider `{provider.name}` is not verified",
                "insecure_tls: false",
                production=True,
            )
    if not settings.confirm_protected:
        yield CheckResult(
            "warn", "protected roles are granted and revoked without confirmation", "confirm_protected: true"
        )
    if settings.insecure_same_uid:
        yield CheckResult(
            "warn",
            "user servers may run under the service's account: every user who runs code controls the system",
            "another spawner, and insecure_same_uid: false",
            production=True,
        )
    if settings.auto_register:
        yield CheckResult("warn", "every user who can sign in is registered", "auto_register: false")
    if settings.core is None:
        yield CheckResult("warn", "no core is configured: platform commands are decided but not executed", "core:")
