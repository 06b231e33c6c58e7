"""Checks of the hub's configuration, loaded as the hub loads it."""

from __future__ import annotations

import os
import re
import runpy
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from traitlets.config import Config

from aizen_hub.cli.doctor import programs, shared_host
from aizen_hub.cli.doctor.check_result import CheckResult
from aizen_hub.cli.output import show_message
from aizen_hub.settings import Settings

_BYTES = 32
_DISTINCT = 10  # 32 random bytes practically always have that many different values
_HEX = re.compile(r"(?:[0-9A-Fa-f]{2})+")


def check_hub_config(path: Path, settings: Settings) -> Iterator[CheckResult]:
    if not path.exists():
        yield CheckResult(
            "warn", f"{path} does not exist, so the hub was not checked", "--hub-config, or aizen-hub init"
        )
        return
    calls: list[Any] = []
    hub = Config()
    # The file is executed as the hub does it, but `configure` must not write anything.
    from aizen_hub.hub import configure as configure_module

    real_configure, configure_module.configure = configure_module.configure, _recorder(calls, settings)
    try:
        runpy.run_path(str(path), {"c": hub, "get_config": lambda: hub, "load_subconfig": _no_subconfig})
    finally:
        configure_module.configure = real_configure
    if not calls:
        yield CheckResult("fail", f"{path} does not call `configure`", 'configure(c, "aizen.yaml") as its last line')
    if not hub.JupyterHub.get("subdomain_host"):
        yield CheckResult(
            "warn" if settings.insecure_same_origin else "fail",
            "user servers share an origin with the panel: a page of any user can act there as the user who opens it",
            "c.JupyterHub.subdomain_host = 'https://hub.example.org', and insecure_same_origin: false"
            if settings.insecure_same_origin
            else "c.JupyterHub.subdomain_host = 'https://hub.example.org', or for a trial insecure_same_origin: true",
            production=True,
        )
    yield from programs.check_programs(hub, settings)
    yield from shared_host.check_shared_host(hub, settings)
    yield from _check_secrets(hub, path.parent)


def _recorder(calls: list[Any], settings: Settings) -> Callable[..., Settings]:
    def configure(*arguments: Any, **_: Any) -> Settings:
        calls.append(arguments)
        return settings

    return configure


def _no_subconfig(name: str, *_: Any) -> None:
    show_message(f"aizen-hub: {name}, which the hub's configuration loads, was not checked")


def _check_secrets(hub: Config, folder: Path) -> Iterator[CheckResult]:
    """Report configured secrets of the hub that are shorter than 256 bit or easy to guess (R2)."""
    secrets: dict[str, Any] = {
        "c.JupyterHub.cookie_secret": hub.JupyterHub.get("cookie_secret"),
        "JPY_COOKIE_SECRET": os.environ.get("JPY_COOKIE_SECRET"),
        "c.ConfigurableHTTPProxy.auth_token": hub.ConfigurableHTTPProxy.get("auth_token"),
        "CONFIGPROXY_AUTH_TOKEN": os.environ.get("CONFIGPROXY_AUTH_TOKEN"),
        "JUPYTERHUB_CRYPT_KEY": os.environ.get("JUPYTERHUB_CRYPT_KEY"),
    }
    file = folder / str(hub.JupyterHub.get("cookie_secret_file", "jupyterhub_cookie_secret"))
    if file.is_file():
        if stat.S_IMODE(file.stat().st_mode) & 0o077:
            yield CheckResult("fail", f"other accounts can read {file}", f"chmod 600 {file}")
        elif os.access(file, os.R_OK):
            secrets[str(file)] = file.read_text(encoding="utf-8", errors="replace").strip()
    for name, value in secrets.items():
        for secret in value.split(";") if name == "JUPYTERHUB_CRYPT_KEY" and value else [value]:
            weakness = None if secret is None else _weakness_of(secret)
            if weakness is not None:
                yield CheckResult("fail", f"`{name}` is {weakness}", f"openssl rand -hex {_BYTES}")


def _weakness_of(secret: Any) -> str | None:
    data = secret if isinstance(secret, bytes) else str(secret).encode()
    text = data.decode("latin-1")
    decoded = bytes.fromhex(text) if _HEX.fullmatch(text) else data
    if len(decoded) < _BYTES:
        return "shorter than 256 bit"
    return "not random: it repeats few characters" if len(set(decoded)) < _DISTINCT else None
