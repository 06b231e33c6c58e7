"""``aizen-hub doctor``: the proxy, the spawner and the single-user server that the hub would start."""

from __future__ import annotations

import importlib.util
import shutil
from typing import Any

import pytest
from traitlets.config import Config

from aizen_hub.cli.doctor import programs
from aizen_hub.hub import configure, python_proxy


def check(config: dict[str, Any]) -> dict[str, str]:
    """Return the level of each message, with its remedy."""
    results = programs.check_programs(Config(config))
    return {f"{result.message}; {result.remedy}": result.level for result in results}


def level_of(found: dict[str, str], text: str) -> str:
    (level,) = [level for message, level in found.items() if text in message]
    return level


SIMPLE = {"JupyterHub": {"spawner_class": "simple"}}


def test_a_complete_installation() -> None:
    found = check(SIMPLE)
    assert set(found.values()) == {"ok"}
    assert level_of(found, "the proxy is") == "ok"
    assert level_of(found, "the single-user server is") == "ok"


def test_a_missing_proxy_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(python_proxy, "is_used_by", lambda command: False)
    monkeypatch.setattr(shutil, "which", lambda name, **_: None)
    found = check(SIMPLE)
    text = "the proxy `configurable-http-proxy` is not installed; pip install 'aizen-hub[hub]'"
    assert level_of(found, text) == "fail"


def test_a_proxy_of_its_own_is_not_checked() -> None:
    found = check({"JupyterHub": {"proxy_class": "traefik_file", "spawner_class": "simple"}})
    assert level_of(found, "not checked: the proxy") == "ok"


def test_a_missing_single_user_server_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(configure, "find_server_program", lambda: None)
    found = check(SIMPLE)
    assert level_of(found, "`jupyterhub-singleuser` is not installed; pip install 'aizen-hub[hub]'") == "fail"
    found = check({**SIMPLE, "Spawner": {"cmd": ["/nowhere/jupyter"]}})
    assert level_of(found, "`/nowhere/jupyter` is not installed") == "fail"


def test_a_server_without_jupyterlab_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    found = check(SIMPLE)
    assert level_of(found, "neither JupyterLab nor Notebook is installed") == "fail"


@pytest.mark.parametrize("name", ["nowhere", "no.such.package.Spawner", "os.path"])
def test_a_spawner_that_cannot_be_imported_is_an_error(name: str) -> None:
    found = check({"JupyterHub": {"spawner_class": name}})
    assert level_of(found, f"the spawner `{name}` cannot be imported") == "fail"
