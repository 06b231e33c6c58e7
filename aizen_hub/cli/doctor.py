"""``aizen-hub doctor``: what is missing, and what is risky, on this machine."""

from __future__ import annotations

import runpy
import stat
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import click
from traitlets.config import Config

from aizen_hub.cli.database import config_option
from aizen_hub.cli.outcome import Outcome
from aizen_hub.cli.output import output_option, say, show_rows
from aizen_hub.client.secret_file import SecretFileError, read_secret
from aizen_hub.client.sync import SyncClient
from aizen_hub.problems import Problem
from aizen_hub.settings import ConfigurationError, Settings

FLOORS = {
    "jupyterhub": (6, 1),
    "oauthenticator": (17, 4),
    "jupyterhub-ldapauthenticator": (2, 0, 2),
    "pyjwt": (2, 12),
    "tornado": (6, 5, 5),
}


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes
    ----------
    level : str
        ``ok``; ``warn`` for what may be on purpose; ``fail`` for what must not stay so.
    """

    level: str
    what: str
    remedy: str = ""


@click.command()
@config_option
@click.option(
    "--hub-config",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The hub's configuration file; default: jupyterhub_config.py beside aizen.yaml.",
)
@output_option
def doctor(config: Path, hub_config: Path | None, output: str) -> int:
    """Look at this installation and say what is missing or risky; exits 1 if something must not stay so.

    Run it on the service's machine and under its account. It changes nothing.
    """
    findings = list(_versions())
    try:
        settings = Settings.load(config)
    except ConfigurationError as error:
        findings.append(Finding("fail", str(error)))
    else:
        findings.append(Finding("ok", f"{config} is well formed"))
        for look in (_files, _catalog, _database, _choices, _service):
            findings += look(settings)
        findings += _hub(hub_config or config.absolute().parent / "jupyterhub_config.py", settings)
    show_rows(output, ("level", "what", "remedy"), [asdict(one) for one in findings])
    failed = sum(one.level == "fail" for one in findings)
    say(f"{failed} to mend, {sum(one.level == 'warn' for one in findings)} to think about")
    return Outcome.ERROR if failed else Outcome.DONE


def _versions() -> Iterator[Finding]:
    for name, floor in FLOORS.items():
        found = metadata.version(name)
        numbers = tuple(int(part) for part in found.split(".")[: len(floor)] if part.isdigit())
        if numbers < floor:
            yield Finding("fail", f"{name} {found} is too old", f"pip install '{name}>={'.'.join(map(str, floor))}'")
    yield Finding("ok", f"aizen-hub {metadata.version('aizen-hub')} on Python {sys.version.split()[0]}")


def _files(settings: Settings) -> Iterator[Finding]:
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


def _catalog(settings: Settings) -> Iterator[Finding]:
    from aizen_hub.catalogs.loader import load_catalog

    try:
        catalog = load_catalog(settings.catalog, settings.overlays)
    except ValueError as error:
        yield Finding("fail", str(error))
        return
    yield Finding("ok", f"catalog {catalog.name}: {len(catalog.roles)} roles, {len(catalog.commands)} commands")


def _database(settings: Settings) -> Iterator[Finding]:
    from aizen_hub.store import schema

    if settings.embedded and settings.database is None and not (settings.data_dir / "aizen.sqlite").exists():
        yield Finding("warn", "there is no database yet", "the service makes it at its first start")
        return
    try:
        schema.check(settings.database_url)
    except ConfigurationError as error:
        yield Finding("fail", str(error))
    except Problem as error:
        yield Finding("fail", f"the database: {error.detail}", error.remedy or "")
    else:
        yield Finding("ok", "the database's schema is the one this version works with")


def _choices(settings: Settings) -> Iterator[Finding]:
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


def _service(settings: Settings) -> Iterator[Finding]:
    try:
        SyncClient(settings.service_url, deadline=3).get("/readyz")
    except Problem as error:
        yield Finding("warn", f"the service at {settings.service_url} is not ready: {error.detail}", error.remedy or "")
    else:
        yield Finding("ok", f"the service at {settings.service_url} is ready")


def _hub(path: Path, settings: Settings) -> Iterator[Finding]:
    if not path.exists():
        yield Finding("warn", f"{path} is not there, so the hub was not looked at", "--hub-config, or aizen-hub init")
        return
    called: list[Any] = []
    hub = Config()
    # The file is read as the hub reads it, but `configure` must not write anything here.
    from aizen_hub.hub import configure as room

    real, room.configure = room.configure, _recorder(called, settings)
    try:
        runpy.run_path(str(path), {"c": hub, "get_config": lambda: hub, "load_subconfig": _no_subconfig})
    finally:
        room.configure = real
    if not called:
        yield Finding("fail", f"{path} does not call `configure`", 'configure(c, "aizen.yaml") as its last line')
    if "subdomain_host" not in hub.JupyterHub and not settings.insecure_same_uid:
        yield Finding(
            "fail",
            "pages of user servers share an origin with the panel",
            "c.JupyterHub.subdomain_host = 'https://hub.example.org'",
        )


def _recorder(called: list[Any], settings: Settings) -> Callable[..., Settings]:
    def configure(*arguments: Any, **_: Any) -> Settings:
        called.append(arguments)
        return settings

    return configure


def _no_subconfig(name: str, *_: Any) -> None:
    say(f"aizen-hub: {name} is loaded by the hub's configuration and was not looked at")
