"""A hub whose servers are pods of a real Kubernetes, whose node runs them as processes of this machine."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from tests.engines.journey import seed_project, wait_until
from tests.fixtures.hub import HubHandle, running_hub
from tests.fixtures.kubernetes import NAMESPACE, KubernetesCluster, running_kubernetes, write_secret
from tests.fixtures.ports import free_port

PROJECT_NAMESPACE = "aizen-churn"
PROJECT_FOLDER = Path(__file__).parents[2] / "deploy" / "kubernetes" / "project-namespace"
POD_IDENTITY_FOLDER = PROJECT_FOLDER.with_name("pod-identity")
PROJECT_FILES = ("namespace", "role", "binding", "network")
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
def kubernetes_hub(
    folder: Path, uid: int, person: str, owner: str, *, by_project: bool = False, pod_identity: bool = False
) -> Iterator[tuple[HubHandle, KubernetesCluster]]:
    """Start a cluster and a hub in a folder that other accounts can enter, for two people; pods run under ``uid``.

    With ``by_project`` each project has a namespace of its own, which the project of the journey has. With
    ``pod_identity`` the service asks the API server about pods, as `deploy/kubernetes/pod-identity` allows it.
    """
    config = CONFIG + ('c.AizenKubeSpawner.project_namespace_template = "aizen-{{project}}"\n' if by_project else "")
    with (
        running_kubernetes(folder / "kubernetes", uid) as cluster,
        running_hub(
            folder,
            {"insecure_same_uid": False, "spawn": {"user_options": ["profile"]}}
            | (_allow_reviews(cluster) if pod_identity else {}),
            accounts={person: "", owner: "PROJECT_CREATOR"},
            seed=seed_project(person, owner),
            # Pods are processes of this machine, where their usual port may be taken.
            config=config.format(namespace=NAMESPACE, port=free_port(), uid=uid),
            wrapper=("env", f"KUBECONFIG={cluster.kubeconfig}"),
        ) as hub,
    ):
        if by_project:
            prepare_project_namespace(cluster)
        yield hub, cluster


def _allow_reviews(cluster: KubernetesCluster) -> dict[str, Any]:
    """Give an account the right of the service; return the settings with its token."""
    rights = "/apis/rbac.authorization.k8s.io/v1"
    role, binding = (yaml.safe_load((POD_IDENTITY_FOLDER / f"{name}.yaml").read_text()) for name in ("role", "binding"))
    cluster.create(f"{rights}/clusterroles?fieldValidation=Strict", role)
    cluster.create(f"{rights}/clusterrolebindings?fieldValidation=Strict", binding)
    (subject,) = binding["subjects"]
    cluster.create("/api/v1/namespaces", {"metadata": {"name": subject["namespace"]}})
    accounts = f"/api/v1/namespaces/{subject['namespace']}/serviceaccounts"
    cluster.create(accounts, {"metadata": {"name": subject["name"]}})
    issued = cluster.create(f"{accounts}/{subject['name']}/token", {"spec": {"expirationSeconds": 3600}})
    file = cluster.folder / "service-token"
    write_secret(file, issued["status"]["token"].encode())
    identity = {
        "namespaces": [NAMESPACE, "aizen-*"],
        "api_url": cluster.url,
        "ca_file": str(cluster.folder / "ca.crt"),
        "token_file": str(file),
    }
    return {"pod_identity": identity}


def project_manifests() -> list[dict[str, Any]]:
    """Return what a project's namespace needs, in the order in which it can be created; the name is that of churn."""
    return [yaml.safe_load((PROJECT_FOLDER / f"{name}.yaml").read_text()) for name in PROJECT_FILES]


def prepare_project_namespace(cluster: KubernetesCluster) -> None:
    """Create the namespace of a project as its manifests say, for the account of the hub in this cluster."""
    namespace, role, binding, network = project_manifests()
    binding["subjects"] = [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "hub"}]
    cluster.create("/api/v1/namespaces?fieldValidation=Strict", namespace)
    for group, plural, manifest in (
        ("rbac.authorization.k8s.io", "roles", role),
        ("rbac.authorization.k8s.io", "rolebindings", binding),
        ("networking.k8s.io", "networkpolicies", network),
    ):
        path = f"/apis/{group}/v1/namespaces/{PROJECT_NAMESPACE}/{plural}"
        cluster.create(f"{path}?fieldValidation=Strict", manifest)
    wait_until(lambda: cluster.list_objects("serviceaccounts", PROJECT_NAMESPACE), "pods can have a service account")
