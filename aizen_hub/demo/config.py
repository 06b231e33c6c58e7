"""The configuration files of the demo, rewritten at each start because the ports change."""

from __future__ import annotations

import os
import secrets
import sys
from dataclasses import dataclass
from pathlib import Path

import yaml

import aizen_hub
from aizen_hub.demo.personas import ADMIN
from aizen_hub.demo.workspace import Workspace, free_ports, write_private

PREFERRED_PORT = 8000
SPAWN_SECONDS = 120  # five servers at once on a small or busy machine
HEADER = "# Written by `aizen-hub demo` at each start; changes here are lost.\n"


@dataclass(frozen=True)
class Ports:
    """The ports of a demo, all on the loopback address."""

    public: int
    hub: int
    proxy_api: int
    service: int
    core: int

    @classmethod
    def find_free(cls, public: int | None) -> Ports:
        """Return free ports; the public one is ``public``, or 8000 by default, if it is free. 0 selects any port."""
        return cls(*free_ports(5, (PREFERRED_PORT if public is None else public,)))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.public}"

    @property
    def service_url(self) -> str:
        return f"http://127.0.0.1:{self.service}"


def sample_core() -> Path | None:
    """Return the program of the sample core; None in an installed package, which does not contain it."""
    path = Path(aizen_hub.__file__).parent.parent / "deploy" / "sample-core" / "core.py"
    return path if path.is_file() else None


def write_config(folder: Workspace, ports: Ports) -> None:
    """Write ``aizen.yaml`` and ``jupyterhub_config.py``, and create their folders and secret."""
    for directory in (folder.data, folder.homes, folder.core):
        directory.mkdir(mode=0o700, exist_ok=True)
    settings = {
        "admin_user": f"local:{ADMIN.name}",
        "data_dir": folder.data.name,
        "service": {"port": ports.service},
        # All user servers run under the account that started the demo, and can read its keys.
        "insecure_same_uid": True,
        # One address for everything, without names such as *.localhost: no name resolution is needed.
        "insecure_same_origin": True,
    }
    if sample_core() is not None:
        credential = folder.core / "credential"
        if not credential.exists():
            write_private(credential, secrets.token_urlsafe(32) + "\n")
        settings["core"] = {"url": f"http://127.0.0.1:{ports.core}", "credential_file": str(credential)}
    write_private(folder.config, HEADER + yaml.safe_dump(settings, sort_keys=False))
    write_private(folder.hub_config, HEADER + hub_config(folder, ports))


def hub_config(folder: Workspace, ports: Ports) -> str:
    bin_folder = Path(sys.executable).parent
    lines = [
        "from aizen_hub.hub.configure import configure",
        "",
        f"c.JupyterHub.bind_url = {ports.url!r}",
        f"c.JupyterHub.hub_port = {ports.hub}",
        f"c.ConfigurableHTTPProxy.api_url = 'http://127.0.0.1:{ports.proxy_api}'",
        f"c.ConfigurableHTTPProxy.command = [{str(bin_folder / 'configurable-http-proxy')!r}]",
        f"c.ConfigurableHTTPProxy.pid_file = {str(folder.path / 'proxy.pid')!r}",
        "c.JupyterHub.spawner_class = 'simple'",
        f"c.SimpleLocalProcessSpawner.home_dir_template = {str(folder.homes / '{username}')!r}",
        f"c.Spawner.cmd = [{str(bin_folder / 'jupyterhub-singleuser')!r}]",
        "c.Spawner.default_url = '/lab'",
        f"c.Spawner.http_timeout = c.Spawner.start_timeout = {SPAWN_SECONDS}",
    ]
    if os.geteuid() == 0:
        lines.append("c.Spawner.args = ['--allow-root']")
    return "\n".join([*lines, "configure(c, 'aizen.yaml')", ""])


def environment() -> dict[str, str]:
    """Return the environment without variables of another hub, notebook or installation of aizen-hub."""
    foreign = ("AIZEN_", "JUPYTER", "JPY_", "IPYTHON", "CONFIGPROXY_", "PYTHONSTARTUP")
    environ = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), environ.get("PATH", os.defpath)])
    return environ
