"""What a preset sets in this installation, and where the administrator has set something else."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from traitlets.config import Config

from aizen_hub.diagnosis.check_result import CheckResult, in_hub_config, in_settings
from aizen_hub.diagnosis.installation import Installation
from aizen_hub.presets import EACH, PresetValue, load_presets
from aizen_hub.settings import Settings

_HUB_DEFAULT = "sqlite:///jupyterhub.sqlite"


def check_preset(hub: Config, installation: Installation) -> Iterator[CheckResult]:
    """Report the values of the preset, and databases that do not fit it; nothing where there is no preset."""
    from aizen_hub.hub.preset import is_applied

    settings = installation.settings
    if settings.preset is None:
        return
    preset = load_presets()[settings.preset]
    applied = {entry.name: is_applied(hub, entry) for entry in preset.hub}
    applied |= {
        entry.name: all(value == entry.value for value in _values(settings, entry)) for entry in preset.settings
    }
    for entry in (*preset.hub, *preset.settings):
        text = f"{entry.name} = {entry.value}" if applied[entry.name] else f"{entry.name} is yours, not {entry.value}"
        yield CheckResult.passed("preset", f"preset {settings.preset}: {text}")
    if settings.uses_sqlite:
        yield CheckResult.warning(
            "preset",
            in_settings("database"),
            f"preset {settings.preset} with a SQLite file: one service decides for all, and ends with its machine",
            "database: postgresql+psycopg://…, shared by several replicas",
        )
    url = hub.JupyterHub.get("db_url", _HUB_DEFAULT)
    if isinstance(url, str) and url.startswith("sqlite"):
        yield CheckResult.warning(
            "preset",
            in_hub_config("JupyterHub.db_url"),
            f"preset {settings.preset} with a SQLite file: each commit of the hub waits for the disk",
            'c.JupyterHub.db_url = "postgresql+psycopg://…"',
        )


def _values(settings: Settings, entry: PresetValue) -> list[Any]:
    """Return the values of a key of the settings; where it is a key of a list, those of entries with other servers."""
    values: list[Any] = [settings]
    for name in entry.name.split("."):
        if name == EACH:
            values = [entry for value in values for entry in value if getattr(entry, "kind", None) != "local"]
        else:
            values = [getattr(value, name) for value in values]
    return values
