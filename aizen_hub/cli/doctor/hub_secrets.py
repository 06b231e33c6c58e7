"""Checks of the secrets of the hub itself, and of the file of its database."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from typing import Any

from traitlets.config import Config
from traitlets.config.loader import LazyConfigValue

from aizen_hub.api_models.command_line import HUB_SERVICE
from aizen_hub.diagnosis.check_result import CheckResult, in_hub_config
from aizen_hub.diagnosis.installation import Installation

_BYTES = 32
_DISTINCT = 10  # 32 random bytes practically always have that many different values
_HEX = re.compile(r"(?:[0-9A-Fa-f]{2})+")


def check_hub_secrets(hub: Config, installation: Installation) -> Iterator[CheckResult]:
    """Report secrets of the hub that are shorter than 256 bit, easy to guess, or readable by others (R2)."""
    folder = installation.hub_config_path.absolute().parent
    secrets: dict[str, Any] = {
        "c.JupyterHub.cookie_secret": hub.JupyterHub.get("cookie_secret"),
        "JPY_COOKIE_SECRET": os.environ.get("JPY_COOKIE_SECRET"),
        "c.ConfigurableHTTPProxy.auth_token": hub.ConfigurableHTTPProxy.get("auth_token"),
        "CONFIGPROXY_AUTH_TOKEN": os.environ.get("CONFIGPROXY_AUTH_TOKEN"),
        "JUPYTERHUB_CRYPT_KEY": os.environ.get("JUPYTERHUB_CRYPT_KEY"),
    }
    services = hub.JupyterHub.get("services")
    for service in services.get_value([]) if isinstance(services, LazyConfigValue) else services or ():
        # Those of our own services are not in the file: `configure` creates or derives them.
        if service.get("name") not in ("aizen", HUB_SERVICE) and service.get("api_token"):
            secrets[f"c.JupyterHub.services: api_token of `{service.get('name')}`"] = service["api_token"]
    inline = [name for name, value in secrets.items() if name.startswith("c.") and value]
    mode = installation.hub_config_path.stat().st_mode
    if inline and stat.S_IMODE(mode) & 0o044:
        yield CheckResult.error(
            "open-config-file",
            in_hub_config(inline[0]),
            f"other accounts can read the secret in {installation.hub_config_path}",
            f"chmod 600 {installation.hub_config_path}",
        )
    file = folder / str(hub.JupyterHub.get("cookie_secret_file", "jupyterhub_cookie_secret"))
    if file.is_file():
        if stat.S_IMODE(file.stat().st_mode) & 0o077:
            yield CheckResult.error("open-file", str(file), f"other accounts can read {file}", f"chmod 600 {file}")
        elif os.access(file, os.R_OK):
            secrets[str(file)] = file.read_text(encoding="utf-8", errors="replace").strip()
    for name, value in secrets.items():
        for secret in value.split(";") if name == "JUPYTERHUB_CRYPT_KEY" and value else [value]:
            weakness = None if secret is None else _weakness_of(secret)
            if weakness is not None:
                yield CheckResult.error(
                    "weak-secret",
                    in_hub_config(name) if name.startswith("c.") else name,
                    f"`{name}` is {weakness}",
                    f"openssl rand -hex {_BYTES}, and put its output there",
                )
    yield from _check_database_file(hub, installation)


def _check_database_file(hub: Config, installation: Installation) -> Iterator[CheckResult]:
    url = hub.JupyterHub.get("db_url", "sqlite:///jupyterhub.sqlite")
    if not isinstance(url, str) or not url.startswith("sqlite:///") or ":memory:" in url:
        return
    folder = installation.hub_config_path.absolute().parent
    path = folder / url.removeprefix("sqlite:///").partition("?")[0]
    if path.is_file() and stat.S_IMODE(path.stat().st_mode) & 0o077:
        yield CheckResult.error(
            "open-file", str(path), f"other accounts can read {path}, the database of the hub", f"chmod 600 {path}"
        )


def _weakness_of(secret: Any) -> str | None:
    data = secret if isinstance(secret, bytes) else str(secret).encode()
    text = data.decode("latin-1")
    decoded = bytes.fromhex(text) if _HEX.fullmatch(text) else data
    if len(decoded) < _BYTES:
        return "shorter than 256 bit"
    return "not random: it repeats few characters" if len(set(decoded)) < _DISTINCT else None
