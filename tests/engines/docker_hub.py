"""A hub whose servers are containers of a real Docker daemon; this thread is in the daemon's network meanwhile."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.engines.journey import seed_project
from tests.fixtures.engines.docker_daemon import (
    BRIDGE,
    IMAGE,
    DockerDaemon,
    inside_network,
    python_binds,
    running_docker,
)
from tests.fixtures.hub import BIN, HubHandle, running_hub
from tests.fixtures.network.ports import free_port

SERVER_UID = 1000
CONFIG = """
import os
os.environ["DOCKER_HOST"] = {address!r}
c.JupyterHub.spawner_class = "aizen-docker"
c.JupyterHub.cleanup_servers = False
c.JupyterHub.hub_ip = {bridge!r}
c.AizenDockerSpawner.image = {image!r}
c.AizenDockerSpawner.pull_policy = "never"
c.AizenDockerSpawner.use_internal_ip = True
c.AizenDockerSpawner.network_name = "bridge"
c.AizenDockerSpawner.server_uid = {uid}
c.AizenDockerSpawner.read_only_volumes = {binds!r}
c.AizenDockerSpawner.mem_limit = "2G"
c.AizenDockerSpawner.extra_create_kwargs = {{"user": "{uid}:{uid}"}}
c.AizenDockerSpawner.extra_host_config = {{
    "cap_drop": ["ALL"],
    "security_opt": ["no-new-privileges"],
    "pids_limit": 200,
    "read_only": True,
    "tmpfs": {{"/home": "mode=700,uid={uid},gid={uid}"}},
}}
c.AizenDockerSpawner.environment = {{**c.Spawner.environment, "HOME": "/home", "TMPDIR": "/home", "PATH": {path!r}}}
c.AizenDockerSpawner.notebook_dir = "/home"
c.Spawner.start_timeout = c.Spawner.http_timeout = 180
"""


@contextmanager
def docker_hub(folder: Path, person: str, owner: str) -> Iterator[tuple[HubHandle, DockerDaemon]]:
    """Start a daemon and a hub in a folder, for two people."""
    port = free_port()
    with running_docker(folder / "docker") as daemon, inside_network(daemon.pid):
        config = CONFIG.format(
            address=daemon.address,
            bridge=BRIDGE,
            image=IMAGE,
            uid=SERVER_UID,
            binds=python_binds(),
            path=f"{BIN}:{Path(sys.base_prefix) / 'bin'}:/usr/bin:/bin",
        )
        with running_hub(
            folder,
            {
                "insecure_same_uid": False,
                # The address of the bridge is the machine's, as containers see it.
                "service": {"host": "0.0.0.0", "port": port, "url": f"http://{BRIDGE}:{port}"},
            },
            accounts={person: "", owner: "PROJECT_CREATOR"},
            seed=seed_project(person, owner),
            config=config,
        ) as hub:
            yield hub, daemon
