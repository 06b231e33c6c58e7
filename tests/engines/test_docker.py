"""A real Docker daemon with DockerSpawner: servers are containers of another account, in a network of their own."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from aizen_hub.demo.browser import Browser
from aizen_hub.demo.kernel import Kernel
from tests.engines import journey
from tests.engines.docker_hub import SERVER_UID, docker_hub
from tests.fixtures.engines.docker_daemon import DockerDaemon
from tests.fixtures.hub import HubHandle

pytestmark = [pytest.mark.needs("docker"), pytest.mark.slow]

PERSON = "erin"


@dataclass
class DockerHub:
    hub: HubHandle
    daemon: DockerDaemon
    person: Browser


@pytest.fixture(scope="module")
def docker() -> Iterator[DockerHub]:
    # A short path: the daemon's socket lies in it.
    with (
        tempfile.TemporaryDirectory(prefix="az-", dir="/tmp") as name,
        docker_hub(Path(name), PERSON, "maker") as (hub, daemon),
    ):
        yield DockerHub(hub, daemon, hub.login(PERSON))


@pytest.fixture
def home(docker: DockerHub) -> str:
    """A running server for the project, the same for several tests."""
    if docker.person.server() is None:
        docker.person.spawn(journey.PROJECT, seconds=journey.START_SECONDS)
    return f"/user/{PERSON}/"


@pytest.mark.proves("R139")
def test_a_container_runs_commands_within_the_limits_of_its_roles(docker: DockerHub, home: str) -> None:
    (container,) = docker.daemon.containers()
    limits = container["HostConfig"]
    assert limits["Memory"] == journey.MEMORY, "the role's limit, below the configured 2G"
    assert limits["CpuQuota"] / limits["CpuPeriod"] == journey.CORES
    with Kernel(docker.person, home) as kernel:
        journey.check_commands(kernel)
        assert kernel.execute("import os; print(os.getuid())").stream.strip() == str(SERVER_UID)


@pytest.mark.proves("T-10", "T-59", "R35", "R140")
def test_what_the_daemon_shows_and_stores_holds_no_token(docker: DockerHub, home: str) -> None:
    with Kernel(docker.person, home) as kernel:
        environ = journey.environment_in(kernel)
    token = environ["JUPYTERHUB_API_TOKEN"]
    assert len(token) == 32
    assert "AIZEN_TOKEN" not in environ
    (container,) = docker.daemon.containers()
    shown = json.dumps(container)
    assert token not in shown
    assert "AIZEN_PROJECT=churn" in shown, "what is not secret is there"
    found = journey.find_secret([docker.hub.folder], token)
    (volume,) = docker.daemon.volumes()
    assert found == [str(docker.daemon.folder / "data" / "volumes" / volume / "_data" / "hub-token")]
    assert Path(found[0]).stat().st_mode & 0o777 == 0o400
    assert Path(found[0]).stat().st_uid == SERVER_UID
    assert docker.daemon.folder.joinpath("data", "volumes").stat().st_mode & 0o077 == 0o001, "root's"
    assert journey.find_in_processes(token, {SERVER_UID}) == []


def test_a_server_survives_a_restart_of_the_hub_and_leaves_nothing(docker: DockerHub, home: str) -> None:
    with Kernel(docker.person, home) as kernel:
        environ = journey.environment_in(kernel)
    docker.hub.kill()
    docker.hub.restart()
    assert docker.person.server() is not None
    with Kernel(docker.person, home) as kernel:
        assert journey.environment_in(kernel)["JUPYTERHUB_API_TOKEN"] == environ["JUPYTERHUB_API_TOKEN"]
        journey.check_commands(kernel)
    docker.person.stop(seconds=journey.WAIT_SECONDS)
    journey.wait_until(lambda: docker.daemon.containers() == [], "the container ends")
    journey.wait_until(lambda: docker.daemon.volumes() == [], "the token goes with the container")
    assert journey.find_in_processes(environ["JUPYTERHUB_API_TOKEN"], set()) == []


@pytest.mark.proves("R48")
def test_a_revoked_role_counts_at_once_and_a_lock_ends_the_container(docker: DockerHub, home: str) -> None:
    with Kernel(docker.person, home) as kernel:
        journey.check_revocation(docker.hub, PERSON, kernel, docker.daemon.containers)
    # The daemon removes them after the container is out of its list.
    journey.wait_until(lambda: docker.daemon.volumes() == [], "the volume with the token ends")
