"""Checks of what the hub starts: its proxy, its spawner and the single-user server."""

from __future__ import annotations

import importlib.util
import os
import shutil
from collections.abc import Iterator
from importlib.metadata import entry_points
from typing import Any

from traitlets.utils.importstring import import_item

from aizen_hub.cli.doctor.check_result import CheckResult
from aizen_hub.settings import Settings

INSTALL = "pip install 'aizen-hub[hub]'"
_SERVER_PACKAGES = ("jupyterlab", "notebook")


def check_programs(hub: Any, settings: Settings) -> Iterator[CheckResult]:
    """Check what the configuration in ``jupyterhub_config.py`` makes the hub start."""
    yield _check_proxy(hub)
    name = hub.JupyterHub.get("spawner_class", "default")
    try:
        spawner_class = _find_spawner_class(name)
    except (ImportError, AttributeError, TypeError) as error:
        yield CheckResult(
            "fail",
            f"the spawner `{name}` cannot be imported: {error}",
            "pip install its package, or correct c.JupyterHub.spawner_class",
        )
        return
    yield from _check_spawner(spawner_class, settings)
    yield from _check_server_program(hub, spawner_class)


def _check_proxy(hub: Any) -> CheckResult:
    from aizen_hub.hub import python_proxy

    if "proxy_class" in hub.JupyterHub or hub.ConfigurableHTTPProxy.get("should_start") is False:
        return CheckResult("ok", "not checked: the proxy, which the hub does not start or is not the usual one")
    command = hub.ConfigurableHTTPProxy.get("command")
    if python_proxy.is_used_by(command):
        return CheckResult("ok", "the proxy is the Python package configurable-http-proxy")
    words = [command] if isinstance(command, str) else list(command or [python_proxy.SCRIPT])
    path = shutil.which(str(words[0]))
    if path is None:
        return CheckResult(
            "fail", f"the proxy `{words[0]}` is not installed", f"{INSTALL}, or npm install -g {words[0]}"
        )
    return CheckResult("ok", f"the proxy is {path}")


def _find_spawner_class(name: Any) -> type:
    if not isinstance(name, str):
        if not isinstance(name, type):
            raise TypeError("it is no class")
        return name
    for entry in entry_points(group="jupyterhub.spawners", name=name):
        return _require_class(entry.load())
    if "." not in name:
        raise ImportError("no installed package has a spawner of this name")
    return _require_class(import_item(name))


def _require_class(value: Any) -> type:
    if not isinstance(value, type):
        raise TypeError("it is no class")
    return value


def _check_spawner(spawner_class: type, settings: Settings) -> Iterator[CheckResult]:
    from jupyterhub.spawner import LocalProcessSpawner, SimpleLocalProcessSpawner

    name = spawner_class.__name__
    if not issubclass(spawner_class, LocalProcessSpawner):
        yield CheckResult("ok", f"user servers are started by {name}")
    elif issubclass(spawner_class, SimpleLocalProcessSpawner) or os.geteuid() != 0:
        if not settings.insecure_same_uid:
            yield CheckResult(
                "fail",
                f"{name} runs user servers under the account of the hub, which does not start with it: every notebook "
                "could read its secrets",
                "another c.JupyterHub.spawner_class, or for a trial insecure_same_uid: true",
            )
    else:
        yield CheckResult("ok", f"{name} runs user servers under accounts of this machine with the users' names")


def _check_server_program(hub: Any, spawner_class: type) -> Iterator[CheckResult]:
    from jupyterhub.spawner import LocalProcessSpawner

    from aizen_hub.hub.configure import find_server_program

    if not issubclass(spawner_class, LocalProcessSpawner):
        yield CheckResult("ok", "not checked: the single-user server, which runs elsewhere")
        return
    command = hub.Spawner.get("cmd")
    words = [command] if isinstance(command, str) else list(command or [])
    program = shutil.which(str(words[0])) if words else find_server_program()
    if program is None:
        name = words[0] if words else "jupyterhub-singleuser"
        yield CheckResult("fail", f"the single-user server `{name}` is not installed", INSTALL)
    elif not words and not any(map(importlib.util.find_spec, _SERVER_PACKAGES)):
        yield CheckResult("fail", "neither JupyterLab nor Notebook is installed for user servers", INSTALL)
    else:
        yield CheckResult("ok", f"the single-user server is {program}")
