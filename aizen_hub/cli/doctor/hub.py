"""The hub's configuration, read as the hub reads it."""

from __future__ import annotations

import os
import re
import runpy
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from traitlets.config import Config

from aizen_hub.cli.doctor import shared_host as host
from aizen_hub.cli.doctor.finding import Finding
from aizen_hub.cli.output import say
from aizen_hub.settings import Settings

_BYTES = 32
_DISTINCT = 10  # of 32 random bytes that many are all but certain
_HEX = re.compile(r"(?:[0-9A-Fa-f]{2})+")


def look(path: Path, settings: Settings) -> Iterator[Finding]:
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
    yield from host.look(hub, settings)
    yield from _secrets(hub, path.parent)


def _recorder(called: list[Any], settings: Settings) -> Callable[..., Settings]:
    def configure(*arguments: Any, **_: Any) -> Settings:
        called.append(arguments)
        return settings

    return configure


def _no_subconfig(name: str, *_: Any) -> None:
    say(f"aizen-hub: {name} is loaded by the hub's configuration and was not looked at")


def _secrets(hub: Config, folder: Path) -> Iterator[Finding]:
    """The hub's own secrets, where somebody chose them: under 256 bit or easy to guess they must not stay (R2)."""
    found: dict[str, Any] = {
        "c.JupyterHub.cookie_secret": hub.JupyterHub.get("cookie_secret"),
        "JPY_COOKIE_SECRET": os.environ.get("JPY_COOKIE_SECRET"),
        "c.ConfigurableHTTPProxy.auth_token": hub.ConfigurableHTTPProxy.get("auth_token"),
        "CONFIGPROXY_AUTH_TOKEN": os.environ.get("CONFIGPROXY_AUTH_TOKEN"),
        "JUPYTERHUB_CRYPT_KEY": os.environ.get("JUPYTERHUB_CRYPT_KEY"),
    }
    file = folder / str(hub.JupyterHub.get("cookie_secret_file", "jupyterhub_cookie_secret"))
    if file.is_file():
        if stat.S_IMODE(file.stat().st_mode) & 0o077:
            yield Finding("fail", f"others can read {file}", f"chmod 600 {file}")
        elif os.access(file, os.R_OK):
            found[str(file)] = file.read_text(encoding="utf-8", errors="replace").strip()
    for name, value in found.items():
        for one in value.split(";") if name == "JUPYTERHUB_CRYPT_KEY" and value else [value]:
            why = None if one is None else _weakness(one)
            if why is not None:
                yield Finding("fail", f"`{name}` is {why}", f"openssl rand -hex {_BYTES}")


def _weakness(secret: Any) -> str | None:
    data = secret if isinstance(secret, bytes) else str(secret).encode()
    text = data.decode("latin-1")
    plain = bytes.fromhex(text) if _HEX.fullmatch(text) else data
    if len(plain) < _BYTES:
        return "shorter than 256 bit"
    return "no random value, it repeats few characters" if len(set(plain)) < _DISTINCT else None
