"""The entry of the service in ``c.JupyterHub.services``, which a chart may have made before `configure`."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any, Final

from traitlets.config.loader import LazyConfigValue

from aizen_hub.hub.scope_guard import SERVICE_NAME
from aizen_hub.hub.violation import violation_error
from aizen_hub.settings import ENV_PREFIX, Settings

SERVICE_START_SECONDS: Final = 120
_HARMLESS: Final = {"name", "url", "api_token", "display", "info", "oauth_client_id", "oauth_no_confirm", "timeout"}


def find_entry(c: Any) -> dict[str, Any] | None:
    """Return the entry that is there already, as from ``hub.services.aizen`` of the Zero-to-JupyterHub chart."""
    services = c.JupyterHub.get("services", [])
    # Entries that were appended where no list was set yet.
    entries = services.to_dict().get("extend", []) if isinstance(services, LazyConfigValue) else services
    return next((entry for entry in entries if entry.get("name") == SERVICE_NAME), None)


def add_entry(c: Any, path: Path, settings: Settings, instance: str, api_token: str) -> None:
    """Add the service, or complete the entry that is there.

    Raises
    ------
    ConfigurationError
        The entry that is there starts a service, or gives it rights.
    """
    given = find_entry(c)
    entry: dict[str, Any] = {
        "name": SERVICE_NAME,
        "url": f"http://{_connect_host(settings)}:{settings.service.port}"
        if settings.service.managed
        else settings.service_url,
        "display": True,
        # The user has signed in at this hub, and the service is part of it.
        "oauth_no_confirm": True,
        "api_token": api_token,
    }
    if given is not None:
        _require_harmless(given, settings)
        given.update({**entry, **given, "api_token": api_token})
        return
    if settings.service.managed:
        # The hub ends if the service does not answer by then; on a busy disk its start takes longer than usual.
        entry["timeout"] = SERVICE_START_SECONDS
        entry["command"] = [sys.executable, "-m", "aizen_hub.service", str(path)]
        entry["environment"] = {
            # The overrides that apply here, so that both sides have the same configuration.
            **{name: value for name, value in os.environ.items() if _is_override(name)},
            "AIZEN_INSTANCE": instance,
        }
    c.JupyterHub.services.append(entry)


def _require_harmless(given: dict[str, Any], settings: Settings) -> None:
    others = sorted(set(given) - _HARMLESS)
    if others:
        raise violation_error(
            "JupyterHub.services",
            f"gives the service `{SERVICE_NAME}` {', '.join(f'`{name}`' for name in others)}",
            f"leave only {', '.join(f'`{name}`' for name in sorted(_HARMLESS))}; `configure` adds what it needs",
        )
    if settings.service.managed:
        raise violation_error(
            "JupyterHub.services",
            f"has a service `{SERVICE_NAME}` that the hub does not start, but aizen.yaml says that it starts one",
            "write `service: {managed: false}` into aizen.yaml, or remove the entry",
        )


def _connect_host(settings: Settings) -> str:
    host = settings.service.host
    if host in ("", "0.0.0.0", "::"):  # noqa: S104 - compared, not bound
        return "127.0.0.1"
    return f"[{host}]" if ":" in host else host


def _is_override(name: str) -> bool:
    return name.startswith(ENV_PREFIX) and name.removeprefix(ENV_PREFIX).lower().split("__")[0] in Settings.model_fields
