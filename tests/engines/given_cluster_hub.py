"""A hub on this machine whose servers are pods of a cluster that exists already, and what that engine must show."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aizen_hub.demo.browser import Browser
from aizen_hub.demo.kernel import Kernel
from tests.engines import journey
from tests.engines.kubernetes_hub import CONFIG, HARDENING, prepare_project_namespace
from tests.fixtures.engines.given_cluster import KubernetesPart, part_of_cluster
from tests.fixtures.hub import HubHandle, running_hub
from tests.fixtures.network.ports import free_port

PERSON, OWNER = "erin", "maker"
UID, HOME, PORT = 1000, "/home", 8888
OF_IMAGE = """
c.JupyterHub.hub_ip = "0.0.0.0"
c.JupyterHub.hub_connect_ip = {address!r}
c.Spawner.cmd = ["jupyterhub-singleuser"]
# A node has no place for a pod that requests more cores than it has.
c.AizenKubeSpawner.profile_list[0]["kubespawner_override"] = {{"mem_limit": "8G", "cpu_limit": 4, "cpu_guarantee": 0.1}}
c.AizenKubeSpawner.image_pull_policy = "IfNotPresent"
c.AizenKubeSpawner.project_namespace_template = {template!r}
c.AizenKubeSpawner.volumes = [{{"name": "home", "emptyDir": {{}}}}]
c.AizenKubeSpawner.volume_mounts = [{{"name": "home", "mountPath": {home!r}}}]
c.AizenKubeSpawner.environment = {{**c.Spawner.environment, "HOME": {home!r}, "TMPDIR": {home!r}}}
c.AizenKubeSpawner.notebook_dir = {home!r}
"""


@dataclass(frozen=True)
class GivenClusterHub:
    """A hub and a signed-in person."""

    hub: HubHandle
    part: KubernetesPart
    person: Browser

    @property
    def project_namespace(self) -> str:
        return f"{self.part.prefix}-{journey.PROJECT}"

    def list_objects(self, kind: str) -> list[dict[str, Any]]:
        """Return the objects of a kind in the namespace of the project."""
        return self.part.cluster.list_objects(kind, self.project_namespace)

    def server_secrets(self) -> list[dict[str, Any]]:
        """Return the Secrets that belong to pods."""
        return [secret for secret in self.list_objects("secrets") if secret["metadata"].get("ownerReferences")]


@contextmanager
def given_cluster_hub(folder: Path, kubeconfig: Path, image: str, address: str) -> Iterator[GivenClusterHub]:
    """Start a hub whose project has a namespace of its own in a cluster.

    Parameters
    ----------
    image : str
        Of user servers.
    address : str
        Of this machine, as pods reach it.
    """
    service = free_port()
    with part_of_cluster(folder / "kubernetes", kubeconfig) as part:
        names = {"namespace": part.prefix, "port": PORT, "uid": UID, "image": image, "address": address, "home": HOME}
        config = (CONFIG + OF_IMAGE).format(**names, template=f"{part.prefix}-{{project}}", **HARDENING)
        settings = {
            "insecure_same_uid": False,
            "spawn": {"user_options": ["profile"]},
            "service": {"host": "0.0.0.0", "port": service, "url": f"http://{address}:{service}"},
        }
        with running_hub(
            folder,
            settings,
            accounts={PERSON: "", OWNER: "PROJECT_CREATOR"},
            seed=journey.seed_project(PERSON, OWNER),
            config=config,
            wrapper=("env", f"KUBECONFIG={part.cluster.kubeconfig}"),
        ) as hub:
            prepare_project_namespace(part.cluster, f"{part.prefix}-{journey.PROJECT}", part.hub)
            # The policy of a project admits the pods of the chart, and this hub is none of them.
            policies = f"/apis/networking.k8s.io/v1/namespaces/{part.prefix}-{journey.PROJECT}/networkpolicies"
            part.cluster.delete(f"{policies}/user-servers")
            yield GivenClusterHub(hub, part, hub.login(PERSON))


def check_given_cluster(given: GivenClusterHub) -> None:
    """Go through commands, limits, tokens, a restart of the hub, and a revocation that ends the server."""
    home = f"/user/{PERSON}/"
    given.person.spawn(journey.PROJECT, seconds=journey.START_SECONDS)
    with Kernel(given.person, home) as kernel:
        journey.check_commands(kernel)
        environ = journey.environment_in(kernel)
        role_token = kernel.execute("print(open(os.environ['AIZEN_TOKEN_FILE']).read())").stream.strip()
        assert kernel.execute("print(os.getuid())").stream.strip() == str(UID)
    (pod,) = given.list_objects("pods")
    limits = pod["spec"]["containers"][0]["resources"]["limits"]
    assert (limits["memory"], limits["cpu"]) == (str(journey.MEMORY), "1500m"), "the profile says 8G, and 4 cores"
    token = environ["JUPYTERHUB_API_TOKEN"]
    assert (len(token), role_token.count("."), "AIZEN_TOKEN" in environ) == (32, 2, False)
    shown = json.dumps([given.list_objects("pods"), given.list_objects("events")]) + given.hub.log
    assert [secret for secret in (token, role_token) if secret in shown] == []
    (secret,) = given.server_secrets()
    assert [owner["uid"] for owner in secret["metadata"]["ownerReferences"]] == [pod["metadata"]["uid"]]
    given.hub.kill()
    given.hub.restart()
    with Kernel(given.person, home) as kernel:
        journey.check_commands(kernel)
        journey.check_revocation(given.hub, PERSON, kernel, lambda: given.list_objects("pods"))
    journey.wait_until(lambda: not given.server_secrets(), "the garbage collector deletes the Secret")
