"""KubeSpawner and a hub against an API server of the tests, whose pods are processes; no tier has a real cluster."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from aizen_hub.demo.browser import Browser
from aizen_hub.demo.kernel import Kernel
from tests.engines import journey
from tests.fixtures.engines.fake_kubernetes import FakeKubernetes, running_fake_kubernetes
from tests.fixtures.hub import HubHandle, running_hub
from tests.fixtures.network.ports import free_port

pytestmark = pytest.mark.slow

PERSON = "erin"
CONFIG = """
c.JupyterHub.spawner_class = "aizen-kubernetes"
c.JupyterHub.cleanup_servers = False
c.AizenKubeSpawner.namespace = "users"
c.AizenKubeSpawner.port = PORT
c.AizenKubeSpawner.image = "registry.example.org/server:1"
# The guarantee of the Zero-to-JupyterHub chart, and a profile above the limits of the role.
c.AizenKubeSpawner.mem_guarantee = "1G"
c.AizenKubeSpawner.profile_list = [
    {"display_name": "Large", "slug": "large", "kubespawner_override": {"mem_limit": "8G", "cpu_guarantee": 4}}
]
c.Spawner.start_timeout = c.Spawner.http_timeout = 180
"""


@dataclass
class PodHub:
    hub: HubHandle
    cluster: FakeKubernetes
    person: Browser

    def pods(self) -> list[dict[str, Any]]:
        return list(self.cluster.objects["pods"].values())


@pytest.fixture(scope="module")
def pod_hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PodHub]:
    folder: Path = tmp_path_factory.mktemp("pods")
    with (
        running_fake_kubernetes(folder) as cluster,
        running_hub(
            folder,
            {"insecure_same_uid": False, "spawn": {"user_options": ["profile"]}},
            accounts={PERSON: "", "maker": "PROJECT_CREATOR"},
            seed=journey.seed_project(PERSON, "maker"),
            # Pods are processes of this machine, where its usual port may be taken.
            config=CONFIG.replace("PORT", str(free_port())),
            wrapper=("env", f"KUBECONFIG={cluster.kubeconfig}"),
        ) as hub,
    ):
        yield PodHub(hub, cluster, hub.login(PERSON))


@pytest.fixture
def home(pod_hub: PodHub) -> str:
    """A running server for the project, the same for several tests."""
    if pod_hub.person.server() is None:
        pod_hub.person.spawn(journey.PROJECT, seconds=journey.START_SECONDS)
    return f"/user/{PERSON}/"


@pytest.mark.proves("R138")
def test_a_pod_runs_commands_within_the_limits_of_its_roles(pod_hub: PodHub, home: str) -> None:
    (pod,) = pod_hub.pods()
    (container,) = pod["spec"]["containers"]
    resources = container["resources"]
    assert {name: str(value) for name, value in resources["limits"].items()} == {
        "memory": str(journey.MEMORY),
        "cpu": str(journey.CORES),
    }, "the profile, which is the default one, says 8G"
    assert {name: str(value) for name, value in resources["requests"].items()} == {
        "memory": str(journey.MEMORY),
        "cpu": str(journey.CORES),
    }, "no request above its limit, which Kubernetes refuses"
    with Kernel(pod_hub.person, home) as kernel:
        journey.check_commands(kernel)


def test_the_spawn_page_shows_projects_and_profiles(pod_hub: PodHub) -> None:
    page = pod_hub.person.get(f"/hub/spawn/{PERSON}/second")
    names = {field.get("name") for field in page.fields}
    assert {"project", "profile"} <= names


@pytest.mark.proves("T-10", "R35")
def test_the_tokens_are_in_a_secret_that_goes_with_the_pod(pod_hub: PodHub, home: str) -> None:
    with Kernel(pod_hub.person, home) as kernel:
        environ = journey.environment_in(kernel)
    token = environ["JUPYTERHUB_API_TOKEN"]
    role_token = Path(environ["AIZEN_TOKEN_FILE"]).read_text()
    assert len(token) == 32
    assert role_token.count(".") == 2
    sent = json.dumps([value for value in pod_hub.cluster.created if "containers" in value.get("spec", {})])
    assert token not in sent
    assert role_token not in sent
    assert token not in pod_hub.hub.log
    (secret,) = pod_hub.cluster.objects["secrets"].values()
    (pod,) = pod_hub.pods()
    assert [owner["uid"] for owner in secret["metadata"]["ownerReferences"]] == [pod["metadata"]["uid"]]
    pod_hub.person.stop(seconds=journey.WAIT_SECONDS)
    journey.wait_until(lambda: not pod_hub.pods(), "the pod ends")
    assert pod_hub.cluster.objects["secrets"] == {}


@pytest.mark.proves("R48")
def test_a_revoked_role_counts_at_once_and_a_lock_ends_the_pod(pod_hub: PodHub, home: str) -> None:
    pod_hub.hub.kill()
    pod_hub.hub.restart()
    with Kernel(pod_hub.person, home) as kernel:
        journey.check_revocation(pod_hub.hub, PERSON, kernel, pod_hub.pods)
    assert pod_hub.cluster.objects["secrets"] == {}
