"""Versions, files, the catalog, and settings that give a protection away."""

from __future__ import annotations

import stat
import sys
from collections.abc import Iterator
from importlib import metadata

from aizen_hub.cli.doctor.finding import Finding
from aizen_hub.client.secret_file import SecretFileError, read_secret
from aizen_hub.settings import Settings

FLOORS = {
    "jupyterhub": (6, 1),
    "oauthenticator": (17, 4),
    "jupyterhub-ldapauthenticator": (2, 0, 2),
    "pyjwt": (2, 12),
    "tornado": (6, 5, 5),
}


def versions() -> Iterator[Finding]:
    for name, floor in FLOORS.items():
        found = metadata.version(name)
        numbers = tuple(int(part) for part in found.split(".")[: len(floor)] if part.isdigit())
        if numbers < floor:
            yield Finding("fail", f"{name} {found} is too old", f"pip install '{name}>={'.'.join(map(str, floor))}'")
    yield Finding("ok", f"aizen-hub {metadata.version('aizen-hub')} on Python {sys.version.split()[0]}")


def files(settings: Settings) -> Iterator[Finding]:
    folder = settings.data_dir
    if not folder.exists():
        yield Finding("warn", f"{folder} is not there yet", "the hub or the service makes it at its first start")
        return
    if stat.S_IMODE(folder.stat().st_mode) & 0o077:
        yield Finding("fail", f"others can look into {folder}", f"chmod 700 {folder}")
    for path in (settings.hub_secret_path, settings.core.credential_file if settings.core else None):
        if path is not None and path.exists():
            try:
                read_secret(path)
            except SecretFileError as error:
                yield Finding("fail", str(error))
    for path in sorted(folder.iterdir()):
        if path.is_file() and stat.S_IMODE(path.stat().st_mode) & 0o077:
            yield Finding("fail", f"others can read {path}", f"chmod 600 {path}")


def catalog(settings: Settings) -> Iterator[Finding]:
    from aizen_hub.catalogs.loader import load_catalog

    try:
        found = load_catalog(settings.catalog, settings.overlays)
    except ValueError as error:
        yield Finding("fail", str(error))
        return
    yield Finding("ok", f"catalog {found.name}: {len(found.roles)} roles, {len(found.commands)} commands")


def choices(settings: Settings) -> Iterator[Finding]:
    """Settings that give a protection away on purpose."""
    for provider in settings.providers:
        if provider.insecure_tls:
            yield Finding(
                "warn", f"the certificate of provider `{provider.name}` is not verified", "insecure_tls: false"
            )
    if not settings.confirm_protected:
        yield Finding("warn", "protected roles change hands without confirmation", "confirm_protected: true")
    if settings.insecure_same_uid:
        yield Finding(
            "warn",
            "user servers may run under the service's account: whoever runs code controls the system",
            "another spawner, and insecure_same_uid: false",
        )
    if settings.auto_register:
        yield Finding("warn", "whoever can sign in is registered", "auto_register: false")
    if settings.core is None:
        yield Finding(
            "warn", "no core is configured: commands of the platform are decided, but not carried out", "core:"
        )
