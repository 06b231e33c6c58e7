"""Presets: data about real traits and keys, used only where the administrator has set nothing."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import pytest
import yaml

from aizen_hub.presets import EACH, PresetValue, load_presets
from aizen_hub.settings import ConfigurationError, Settings

CLASSES = {
    "JupyterHub": "jupyterhub.app",
    "Spawner": "jupyterhub.spawner",
    "KubeSpawner": "kubespawner",
}
HUB = [entry for preset in load_presets().values() for entry in preset.hub]
SETTINGS = [entry for preset in load_presets().values() for entry in preset.settings]
PROTECTIONS = ("role_token.", "rate.", "group_max_age", "hub_down", "insecure", "confirm", "checkpoint")


def load(folder: Path, document: Any, environ: dict[str, str] | None = None) -> Settings:
    file = folder / "aizen.yaml"
    file.write_text(yaml.safe_dump(document))
    return Settings.load(file, environ or {})


@pytest.mark.parametrize("entry", HUB, ids=lambda entry: entry.name)
def test_a_lever_of_the_hub_is_a_trait_with_another_default(entry: PresetValue) -> None:
    section, _, name = entry.name.partition(".")
    trait = getattr(importlib.import_module(CLASSES[section]), section).class_traits(config=True)[name]
    if isinstance(entry.value, dict):
        return
    assert trait.default() == entry.without
    trait.validate(None, entry.value)
    assert entry.value != entry.without


@pytest.mark.parametrize("entry", SETTINGS, ids=lambda entry: entry.name)
def test_a_lever_of_the_settings_is_a_key_with_another_default(entry: PresetValue) -> None:
    value: Any = Settings.model_validate({"providers": [{"name": "local", "kind": "local"}]})
    for name in entry.name.split("."):
        value = value[0] if name == EACH else getattr(value, name)
    assert value == entry.without != entry.value


def test_every_lever_says_why_and_on_what_that_rests() -> None:
    assert HUB
    assert SETTINGS
    assert all(entry.why and entry.source for entry in [*HUB, *SETTINGS])


def test_no_preset_changes_a_protection() -> None:
    assert [entry.name for entry in SETTINGS if entry.name.startswith(PROTECTIONS)] == []


def test_the_large_preset_fills_in_what_is_not_set(tmp_path: Path) -> None:
    providers = [
        {"name": "ldap", "kind": "ldap", "pool_size": 2},
        {"name": "company", "kind": "oidc"},
    ]
    settings = load(
        tmp_path,
        {"preset": "large", "providers": providers, "admin_user": "ldap:ada", "role_token": {"lifetime_seconds": 60}},
    )
    assert settings.session.heartbeat_seconds == 30
    assert [(one.pool_size, one.queue_size) for one in settings.providers] == [(2, 512), (16, 512)]
    assert settings.role_token.lifetime_seconds == 60


def test_neither_a_value_nor_a_variable_of_the_administrator_is_overridden(tmp_path: Path) -> None:
    given = {"preset": "large", "session": {"heartbeat_seconds": 7}}
    assert load(tmp_path, given).session.heartbeat_seconds == 7
    variables = {"AIZEN_SESSION__HEARTBEAT_SECONDS": "9"}
    assert load(tmp_path, {"preset": "large"}, variables).session.heartbeat_seconds == 9
    assert load(tmp_path, {}, {"AIZEN_PRESET": "large"}).session.heartbeat_seconds == 30


def test_without_a_preset_nothing_changes(tmp_path: Path) -> None:
    assert load(tmp_path, {}).session.heartbeat_seconds == 10


@pytest.mark.parametrize(
    ("document", "named"),
    [
        ({"preset": "huge"}, "`preset`"),
        ({"preset": "large", "session": 3}, "`session`"),
        ({"preset": "large", "providers": "ldap"}, "`providers`"),
        ({"preset": ["large"]}, "`preset`"),
    ],
)
def test_what_is_malformed_is_named(tmp_path: Path, document: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load(tmp_path, document)
    assert named in str(caught.value)
