"""Which proxy a hub starts, and how the one in Python routes by host."""

from __future__ import annotations

import logging
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from traitlets.config import Config

from aizen_hub.hub import python_proxy
from aizen_hub.hub.configure import configure

ROOT = Path(__file__).parents[2]
OURS = str(Path(sys.executable).parent / "configurable-http-proxy")
WRAPPER = [sys.executable, "-m", "aizen_hub.hub.python_proxy"]


@pytest.mark.parametrize(
    ("command", "search_path", "expected"),
    [
        (None, "/nowhere", WRAPPER),  # an environment that is not activated
        (None, str(Path(sys.executable).parent), WRAPPER),
        ([OURS, "--log-level=warn"], "/nowhere", [*WRAPPER, "--log-level=warn"]),
        ([sys.executable, "-c", "run()"], "/nowhere", [sys.executable, "-c", "run()"]),
        (["python", "proxy.py"], str(Path(sys.executable).parent), ["python", "proxy.py"]),
        (["/opt/node/configurable-http-proxy"], "/nowhere", ["/opt/node/configurable-http-proxy"]),
    ],
)
def test_the_proxy_of_this_environment_is_started_through_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: Any, search_path: str, expected: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", search_path)
    (tmp_path / "aizen.yaml").write_text("insecure_same_uid: true\n")
    c = Config()
    if command is not None:
        c.ConfigurableHTTPProxy.command = command
    configure(c)
    assert c.ConfigurableHTTPProxy.command == expected


def test_a_version_whose_handler_is_not_known_is_not_installed() -> None:
    """A method of its handler is replaced."""
    requirements = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]["hub"]
    (proxy,) = (each for each in map(Requirement, requirements) if each.name == python_proxy.SCRIPT)
    assert proxy.specifier.contains(version(proxy.name))
    assert not proxy.specifier.contains("0.5.0")


def test_a_proxy_in_node_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "configurable-http-proxy"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert not python_proxy.is_used_by(None)


@pytest.mark.parametrize("path", ["user/ann/lab", "/user/ann/lab"])
def test_a_target_is_found_by_the_host_of_the_request(path: str) -> None:
    class Proxy:
        host_routing = True

        def target_for_req(self, host: str | None, path: str) -> tuple[str | None, str]:
            return host, path

    routes = python_proxy.HostRoutes(Proxy(), "ann.hub.localhost")
    assert routes.target_for_req(None, path) == ("ann.hub.localhost", "/user/ann/lab")
    assert routes.host_routing


@pytest.mark.proves("R98")
@pytest.mark.parametrize(
    ("message", "arguments", "expected"),
    [
        ("%d %s", (400, "GET /hub/callback?code=c-1&state=s-1 (::1)"), "400 GET /hub/callback?[query] (::1)"),
        ("%r", ({"uri": "/hub?token=t-1"},), "{'uri': '/hub?[query]'}"),
        ("100%% of %s?", ("it",), "100% of it?"),
        ("50% done", (), "50% done"),
    ],
)
def test_the_query_of_a_request_is_not_logged(message: str, arguments: tuple[object, ...], expected: str) -> None:
    record = logging.LogRecord("tornado.access", logging.WARNING, "web.py", 1, message, arguments, None)
    assert python_proxy.QueryFilter().filter(record)
    assert record.getMessage() == expected
