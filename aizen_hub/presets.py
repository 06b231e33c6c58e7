"""Presets: values for an installation of some size, used where the administrator has set nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final, Literal

import yaml

PresetName = Literal["large"]
EACH: Final = "*"
"""In the name of a setting: every entry of a list."""


@dataclass(frozen=True, slots=True)
class PresetValue:
    """One value of a preset.

    Attributes
    ----------
    name : str
        A trait such as ``Spawner.poll_interval``, or a key of aizen.yaml such as ``session.heartbeat_seconds``.
    value, without : object
        With the preset and without it. A mapping is merged into what is set, key by key.
    why, source : str
        The reason, and what it rests on.
    """

    name: str
    value: Any
    without: Any
    why: str
    source: str


@dataclass(frozen=True, slots=True)
class Preset:
    """The entries of the hub, and those of aizen.yaml."""

    hub: tuple[PresetValue, ...]
    settings: tuple[PresetValue, ...]


@cache
def load_presets() -> Mapping[str, Preset]:
    """Return all presets by their names."""
    document = yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text(encoding="utf-8"))
    return {
        name: Preset(*(tuple(PresetValue(**entry) for entry in groups[group]) for group in ("hub", "settings")))
        for name, groups in document.items()
    }


def fill_settings(data: dict[str, Any]) -> None:
    """Add what the preset of a configuration sets to it, where the configuration has nothing.

    What is malformed is left alone: the validation of the settings names it.
    """
    preset = load_presets().get(str(data.get("preset")))
    for entry in preset.settings if preset is not None else ():
        *sections, key = entry.name.split(".")
        for section in _find_sections(data, sections):
            section.setdefault(key, entry.value)


def _find_sections(data: Any, names: list[str]) -> list[dict[str, Any]]:
    """Return the mappings at a path; a missing one is made, but not in a list."""
    if not isinstance(data, dict):
        return []
    if not names:
        return [data]
    name, *rest = names
    if rest == [EACH]:
        entries = data.get(name)
        return [entry for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []
    return _find_sections(data.setdefault(name, {}), rest)
