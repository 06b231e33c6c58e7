"""Checks of what the hub starts: its proxy, its spawner and the single-user server."""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Iterator
from importlib.metadata import entry_points
from typing import Any

from traitlets.utils.importstring import import_item

from aizen_hub.diagnosis.check_result import CheckResult, in_hub_config

INSTALL = "pip install 'aizen-hub[hub]'"
SPAWNER_ERRORS = (ImportError, AttributeError, TypeError)
_SERVER_PACKAGES = ("jupyterlab", "notebook")


def check_programs(hub: Any) -> Iterator[CheckResult]:
    """Check what the configuration in ``jupyterhub_config.py`` makes the hub start."""
    yield _check_proxy(hub)
    name = hub.JupyterHub.get("spawner_class", "default")
    try:
        spawner_class = find_spawner_class(hub)
    except SPAWNER_ERRORS as error:
        yield CheckResult.error(
            "spawner",
            in_hub_config("c.JupyterHub.spawner_class"),
            f"the spawner `{name}` cannot be imported: {error}",
            "pip install its package, or correct c.JupyterHub.spawner_class",
        )
        return
    yield _check_spawner(spawner_class)
    yield _check_server_program(hub, spawner_class)


def _check_proxy(hub: Any) -> CheckResult:
    from aizen_hub.hub import python_proxy

    if "proxy_class" in hub.JupyterHub or hub.ConfigurableHTTPProxy.get("should_start") is False:
        message = "not checked: the proxy, which the hub does not start or is not the usual one"
        return CheckResult.passed("proxy", message)
    command = hub.ConfigurableHTTPProxy.get("command")
    if python_proxy.is_used_by(command):
        return CheckResult.passed("proxy", "the proxy is the Python package configurable-http-proxy")
    words = [command] if isinstance(command, str) else list(command or [python_proxy.SCRIPT])
    path = shutil.which(str(words[0]))
    if path is None:
        return CheckResult.error(
            "proxy",
            in_hub_config("c.ConfigurableHTTPProxy.command"),
            f"the proxy `{words[0]}` is not installed",
            f"{INSTALL}, or npm install -g {words[0]}",
        )
    return CheckResult.passed("proxy", f"the proxy is {path}")


def find_spawner_class(hub: Any) -> type:
    """Return the class of the configured spawner; one of `SPAWNER_ERRORS` if it cannot be imported."""
    name = hub.JupyterHub.get("spawner_class", "default")
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


def _check_spawner(spawner_class: type) -> CheckResult:
    from jupyterhub.spawner import LocalProcessSpawner

    name = spawner_class.__name__
    if issubclass(spawner_class, LocalProcessSpawner):
        # Whether these accounts are those of the users is among the protections of the hub.
        return CheckResult.passed("spawner", f"{name} runs user servers under accounts of this machine")
    return CheckResult.passed("spawner", f"user servers are started by {name}")


def _check_server_program(hub: Any, spawner_class: type) -> CheckResult:
    from jupyterhub.spawner import LocalProcessSpawner

    from aizen_hub.hub.configure import find_server_program

    check, where = "server-program", in_hub_config("c.Spawner.cmd")
    if not issubclass(spawner_class, LocalProcessSpawner):
        return CheckResult.passed(check, "not checked: the single-user server, which runs elsewhere")
    command = hub.Spawner.get("cmd")
    words = [command] if isinstance(command, str) else list(command or [])
    program = shutil.which(str(words[0])) if words else find_server_program()
    if program is None:
        name = words[0] if words else "jupyterhub-singleuser"
        return CheckResult.error(check, where, f"the single-user server `{name}` is not installed", INSTALL)
    if not words and not any(map(importlib.util.find_spec, _SERVER_PACKAGES)):
        message = "neither JupyterLab nor Notebook is installed for user servers"
        return CheckResult.error(check, where, message, INSTALL)
    return CheckResult.passed(check, f"the single-user server is {program}")
