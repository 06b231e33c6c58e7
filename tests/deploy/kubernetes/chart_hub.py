"""The hub of the Zero-to-JupyterHub chart, by the configuration of the chart itself and values over its own."""

from __future__ import annotations

import copy
import importlib.util
import secrets
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from jupyterhub.app import JupyterHub
from tornado.httpclient import AsyncHTTPClient
from traitlets.config import Config, PyFileConfigLoader

from tests.test_secret_files import mount

CHART_FILES = Path(__file__).parents[2] / "data" / "z2jh"
NAMESPACE = "jupyter"
_VARIABLES = {"HUB_SERVICE_PORT": "8081", "PROXY_API_SERVICE_PORT": "8001", "POD_NAMESPACE": NAMESPACE}
_NAMES = {name: name for name in ("hub", "proxy-api", "singleuser", "user-scheduler", "image-pull-secret")}


def merge_values(base: dict[str, Any], more: dict[str, Any]) -> dict[str, Any]:
    """Return values over others, as Helm merges them."""
    merged = copy.deepcopy(base)
    for key, value in more.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = merge_values(merged[key], value) if both else value
    return merged


def chart_defaults() -> dict[str, Any]:
    return dict(yaml.safe_load((CHART_FILES / "values.yaml").read_text(encoding="utf-8")))


def configure_chart_hub(values: dict[str, Any], folder: Path, monkeypatch: pytest.MonkeyPatch) -> JupyterHub:
    """Return a hub as its pod configures it, before it opens its database.

    Parameters
    ----------
    values : dict
        Over those of the chart.
    folder : Path
        In which the files are that are at fixed places in the pod.
    monkeypatch : pytest.MonkeyPatch
        Ends what the configuration of the chart changes in this process.
    """
    # Helm leaves out values without a content at the top, such as `nameOverride`.
    complete = {name: value for name, value in merge_values(chart_defaults(), values).items() if value is not None}
    complete |= {"Chart": {"Name": "jupyterhub", "Version": "4.3.3"}, "Release": {"Name": "hub"}}
    _place_files(complete["hub"], folder)
    for name, value in _VARIABLES.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setitem(sys.modules, "z2jh", _chart_module(complete))
    # The image of the hub has pycurl, and other tests of this process use the class that would be replaced.
    monkeypatch.setattr(AsyncHTTPClient, "configure", classmethod(lambda *_arguments, **_options: None))
    config: Config = PyFileConfigLoader("jupyterhub_config.py", path=str(CHART_FILES)).load_config()
    return JupyterHub(config=config)


def _place_files(hub: dict[str, Any], folder: Path) -> None:
    """Write the hub's ``aizen.yaml`` and its secret into the folder, and lead ``extraConfig`` there."""
    file = hub["extraFiles"]["aizen.yaml"]
    mount(folder / "mounted", "..2026_1", secrets.token_hex(32))
    settings = file["data"] | {"hub_secret_file": str(folder / "mounted" / "hub-secret")}
    (folder / "aizen.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
    hub["extraConfig"] = {
        name: lines.replace(file["mountPath"], str(folder / "aizen.yaml")) for name, lines in hub["extraConfig"].items()
    }


def _chart_module(values: dict[str, Any]) -> Any:
    """Return the module by which the chart reads what Kubernetes mounts, with values that are not mounted."""
    spec = importlib.util.spec_from_file_location("z2jh", CHART_FILES / "z2jh.py")
    assert spec is not None
    assert spec.loader is not None
    module: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module._load_config = lambda: values
    module._get_config_value = _NAMES.__getitem__
    module.get_secret_value = _secret_values(values["hub"]["services"])
    return module


def _secret_values(services: dict[str, Any]) -> Callable[..., Any]:
    keys = ["hub.config.JupyterHub.cookie_secret", "hub.config.CryptKeeper.keys"]
    keys += [f"hub.services.{name}.apiToken" for name in services]
    generated = {key: secrets.token_hex(32) for key in keys}

    def read(key: str, *default: Any) -> Any:
        return generated.get(key, *default) if default else generated[key]

    return read
