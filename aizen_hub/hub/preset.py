"""The hub's part of a preset: traits that are set where the administrator has set nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from traitlets.config.loader import LazyConfigValue

from aizen_hub.presets import Lever, load_presets
from aizen_hub.settings import Settings


def apply_preset(c: Any, settings: Settings) -> None:
    """Set the traits of the preset that the settings name; what is set already is kept."""
    for lever in hub_levers(settings):
        section, _, name = lever.name.partition(".")
        if not isinstance(lever.value, Mapping):
            if name not in c[section]:
                c[section][name] = lever.value
            continue
        # A trait that is set on a class replaces that of its base class: the values belong into both.
        own = [other for other in c if other != section and other.endswith(section) and name in c[other]]
        for one in (section, *own):
            _merge(c[one], name, lever.value)


def hub_levers(settings: Settings) -> tuple[Lever, ...]:
    """Return the levers of the hub that a preset has, if the settings name one."""
    return () if settings.preset is None else load_presets()[settings.preset].hub


def is_applied(c: Any, lever: Lever) -> bool:
    """Return whether a configuration has the value of a lever, rather than one of the administrator."""
    section, _, name = lever.name.partition(".")
    value = c[section].get(name)
    if not isinstance(lever.value, Mapping):
        return bool(value == lever.value)
    return lever.value.items() <= _entries(value).items()


def _merge(section: Any, name: str, wanted: Mapping[str, Any]) -> None:
    value = section.get(name)
    missing = {key: entry for key, entry in wanted.items() if key not in _entries(value)}
    if isinstance(value, dict | LazyConfigValue):
        value.update(missing)
    else:
        section[name] = missing


def _entries(value: Any) -> Mapping[str, Any]:
    if isinstance(value, LazyConfigValue):
        # Entries that were added where no mapping was set yet.
        found: Mapping[str, Any] = value.to_dict().get("update", {})
        return found
    return value if isinstance(value, Mapping) else {}
