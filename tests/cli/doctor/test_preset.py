"""``aizen-hub doctor``: what a preset sets, and what it leaves to the administrator."""

from __future__ import annotations

from pathlib import Path

from aizen_hub.presets import load_presets
from tests.cli.doctor.installed import run_doctor, write_hub_config, write_settings


def test_every_lever_is_listed_with_its_value(folder: Path) -> None:
    write_settings(folder, preset="large", session={"heartbeat_seconds": 12})
    write_hub_config(folder, before="c.JupyterHub.active_server_limit = 80")
    messages = [
        each["message"] for each in run_doctor(folder)[1] if each["check"] == "preset" and each["level"] == "ok"
    ]
    preset = load_presets()["large"]
    assert len(messages) == len(preset.hub) + len(preset.settings)
    assert "preset large: JupyterHub.concurrent_spawn_limit = 200" in messages
    assert "preset large: JupyterHub.active_server_limit is yours, not 3000" in messages
    assert "preset large: session.heartbeat_seconds is yours, not 30" in messages
    assert "preset large: providers.*.pool_size = 16" in messages


def test_without_a_preset_nothing_is_said(folder: Path) -> None:
    assert [each for each in run_doctor(folder)[1] if each["check"] == "preset"] == []
