"""A hub whose servers are pods of a real Kubernetes, whose node runs them as processes of this machine."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.engines.journey import seed_project
from tests.fixtures.hub import HubHandle, running_hub
from tests.fixtures.kubernetes import NAMESPACE, KubernetesCluster, running_kubernetes
from tests.fixtures.ports import free_port

CONFIG = """
c.JupyterHub.spawner_class = "aizen-kubernetes"
c.JupyterHub.cleanup_servers = False
c.AizenKubeSpawner.namespace = {namespace!r}
c.AizenKubeSpawner.port = {port}
c.AizenKubeSpawner.image = "registry.example.org/server:1"
c.AizenKubeSpawner.uid = {uid}
c.AizenKubeSpawner.fs_gid = {uid}
c.AizenKubeSpawner.automount_service_account_token = False
# The guarantee of the Zero-to-JupyterHub chart, and a profile above the limits of the role.
c.AizenKubeSpawner.mem_guarantee = "1G"
c.AizenKubeSpawner.profile_list = [
    {{"display_name": "Large", "slug": "large", "kubespawner_override": {{"mem_limit": "8G", "cpu_guarantee": 4}}}}
]
c.Spawner.start_timeout = c.Spawner.http_timeout = 180
"""


@contextmanager
def kubernetes_hub(folder: Path, uid: int, person: str, owner: str) -> Iterator[tuple[HubHandle, KubernetesCluster]]:
    """Start a cluster and a hub in a folder that other accounts can enter, for two people; pods run under ``uid``."""
    with (
        running_kubernetes(folder / "kubernetes", uid) as cluster,
        running_hub(
            folder,
            {"insecure_same_uid": False, "spawn": {"user_options": ["profile"]}},
            accounts={person: "", owner: "PROJECT_CREATOR"},
            seed=seed_project(person, owner),
            # Pods are processes of this machine, where their usual port may be taken.
            config=CONFIG.format(namespace=NAMESPACE, port=free_port(), uid=uid),
            wrapper=("env", f"KUBECONFIG={cluster.kubeconfig}"),
        ) as hub,
    ):
        yield hub, cluster
