"""The hub's part of a preset: traits that are set where the administrator has set nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from traitlets.config.loader import LazyConfigValue

from aizen_hub.presets import PresetValue, load_presets
from aizen_hub.settings import Settings


def apply_preset(c: Any, settings: Settings) -> None:
    """Set the traits of the preset that the settings name; what is set already is kept."""
    for entry in find_hub_values(settings):
        section, _, name = entry.name.partition(".")
        if not isinstance(entry.value, Mapping):
            if name not in c[section]:
                c[section][name] = entry.value
            continue
        # A trait that is set on a class replaces that of its base class: the values belong into both.
        own = [other for other in c if other != section and other.endswith(section) and name in c[other]]
        for one in (section, *own):
            _merge(c[one], name, entry.value)


def find_hub_values(settings: Settings) -> tuple[PresetValue, ...]:
    """Return the entries of the hub that a preset has, if the settings name one."""
    return () if settings.preset is None else load_presets()[settings.preset].hub


def is_applied(c: Any, entry: PresetValue) -> bool:
    """Return whether a configuration has the value of an entry, rather than one of the administrator."""
    section, _, name = entry.name.partition(".")
    value = c[section].get(name)
    if not isinstance(entry.value, Mapping):
        return bool(value == entry.value)
    return entry.value.items() <= _entries(value).items()


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
