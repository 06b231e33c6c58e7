"""A hub whose servers are pods of a real Kubernetes, and there processes of this machine, or containers."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import yaml

from aizen_hub.demo.browser import Browser
from tests.engines.journey import WAIT_SECONDS, seed_project, wait_until
from tests.fixtures.engines.kubelet import GATEWAY, running_kubelet
from tests.fixtures.engines.kubernetes import NAMESPACE, KubernetesCluster, running_kubernetes, write_secret
from tests.fixtures.engines.server_image import HOME, IMAGE
from tests.fixtures.hub import BIN, HubHandle, running_hub
from tests.fixtures.network.ports import free_port

PROJECT_NAMESPACE = "aizen-churn"
PROJECT_FOLDER = Path(__file__).parents[2] / "deploy" / "kubernetes" / "project-namespace"
POD_IDENTITY_FOLDER = PROJECT_FOLDER.with_name("pod-identity")
PROJECT_FILES = ("namespace", "role", "binding", "network")
CONFIG = """
c.JupyterHub.spawner_class = "aizen-kubernetes"
c.JupyterHub.cleanup_servers = False
c.AizenKubeSpawner.namespace = {namespace!r}
c.AizenKubeSpawner.port = {port}
c.AizenKubeSpawner.image = {image!r}
c.AizenKubeSpawner.uid = {uid}
c.AizenKubeSpawner.fs_gid = {uid}
# What the values for the chart set, which the standard for pods of project namespaces asks for.
c.KubeSpawner.update({hardening!r})
c.KubeSpawner.extra_pod_config = {pod_config!r}
# The guarantee of the Zero-to-JupyterHub chart, and a profile above the limits of the role.
c.AizenKubeSpawner.mem_guarantee = "1G"
c.AizenKubeSpawner.profile_list = [
    {{"display_name": "Large", "slug": "large", "kubespawner_override": {{"mem_limit": "8G", "cpu_guarantee": 4}}}}
]
c.Spawner.start_timeout = c.Spawner.http_timeout = 180
"""
_VALUES = yaml.safe_load(PROJECT_FOLDER.with_name("values.yaml").read_text(encoding="utf-8"))
HARDENING = {
    "hardening": _VALUES["hub"]["config"]["KubeSpawner"],
    "pod_config": _VALUES["singleuser"]["extraPodConfig"],
}
OF_CONTAINERS = """
# The same with limits only: a node has no place for a pod that requests more cores than it has.
c.AizenKubeSpawner.profile_list[0]["kubespawner_override"] = {{"mem_limit": "8G", "cpu_limit": 4, "cpu_guarantee": 0.1}}
c.JupyterHub.hub_ip = {gateway!r}
c.AizenKubeSpawner.image_pull_policy = "Never"
c.AizenKubeSpawner.container_security_context = {{
    **c.KubeSpawner.container_security_context, "readOnlyRootFilesystem": True
}}
c.AizenKubeSpawner.volumes = [{{"name": "home", "emptyDir": {{}}}}]
c.AizenKubeSpawner.volume_mounts = [{{"name": "home", "mountPath": {home!r}}}]
c.AizenKubeSpawner.environment = {{**c.Spawner.environment, "HOME": {home!r}, "TMPDIR": {home!r}, "PATH": {path!r}}}
c.AizenKubeSpawner.notebook_dir = {home!r}
"""


@dataclass
class KubernetesHub:
    """A hub and a signed-in person, whose project has a namespace of its own; pods run under ``uid``."""

    hub: HubHandle
    cluster: KubernetesCluster
    uid: int
    person: Browser

    def pods(self) -> list[dict[str, Any]]:
        return self.cluster.list_objects("pods", PROJECT_NAMESPACE)

    def secrets(self) -> list[dict[str, Any]]:
        return self.cluster.list_objects("secrets", PROJECT_NAMESPACE)

    def issue_token(self, audience: str, pod: dict[str, Any] | None) -> str:
        """Return a token of the account of the servers, as the kubelet has it issued for a pod."""
        path = f"/api/v1/namespaces/{PROJECT_NAMESPACE}/serviceaccounts/default/token"
        spec = {"audiences": [audience], "expirationSeconds": 600, "boundObjectRef": pod}
        return str(self.cluster.create(path, {"spec": spec})["status"]["token"])

    def ask(self, role_token: str, pod_token: str | None) -> tuple[int, str | None]:
        """Send a request with a role token from here; return its status and code."""
        return self._send("GET", "/api/v1/session", None, {"Authorization": f"Bearer {role_token}"}, pod_token)

    def renew(self, hub_token: str, pod_token: str | None) -> tuple[int, str | None]:
        """Renew the role token of a server from here."""
        form = {
            "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
            "subject_token": hub_token,
            "subject_token_type": "urn:ietf:params:oauth:token-type:access_token",
        }
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        return self._send("POST", "/oauth/token", urlencode(form), headers, pod_token)

    def _send(
        self, method: str, path: str, body: str | None, headers: dict[str, str], pod_token: str | None
    ) -> tuple[int, str | None]:
        more = {} if pod_token is None else {"X-Aizen-Pod-Token": pod_token}
        connection = HTTPConnection(urlsplit(self.hub.service_url).netloc, timeout=WAIT_SECONDS)
        try:
            connection.request(method, path, body, headers | more)
            response = connection.getresponse()
            return response.status, json.loads(response.read()).get("code")
        finally:
            connection.close()


@contextmanager
def kubernetes_hub(
    folder: Path, uid: int, person: str, owner: str, *, by_project: bool = False, pod_identity: bool = False
) -> Iterator[tuple[HubHandle, KubernetesCluster]]:
    """Start a cluster and a hub in a folder that other accounts can enter, for two people; pods run under ``uid``.

    With ``by_project`` each project has a namespace of its own, which the project of the journey has. With
    ``pod_identity`` the service asks the API server about pods, as `deploy/kubernetes/pod-identity` allows it.
    """
    config = CONFIG + ('c.AizenKubeSpawner.project_namespace_template = "aizen-{{project}}"\n' if by_project else "")
    # Pods are processes of this machine, where their usual port may be taken.
    config = config.format(
        namespace=NAMESPACE, port=free_port(), uid=uid, image="registry.example.org/server:1", **HARDENING
    )
    settings: dict[str, Any] = {"insecure_same_uid": False, "spawn": {"user_options": ["profile"]}}
    with running_kubernetes(folder / "kubernetes", uid) as cluster:
        if pod_identity:
            settings |= _allow_reviews(cluster)
        with _hub(folder, cluster, settings, config, person, owner) as hub:
            if by_project:
                prepare_project_namespace(cluster)
            yield hub, cluster


@contextmanager
def kubelet_hub(folder: Path, uid: int, person: str, owner: str) -> Iterator[tuple[HubHandle, KubernetesCluster]]:
    """Start the same with a node whose pods are containers, and with both options; this thread is in its network."""
    service = free_port()
    path = f"{BIN}:{Path(sys.base_prefix) / 'bin'}:/usr/bin:/bin"
    config = CONFIG + OF_CONTAINERS + 'c.AizenKubeSpawner.project_namespace_template = "aizen-{{project}}"\n'
    names = {"namespace": NAMESPACE, "port": 8888, "uid": uid, "image": IMAGE, "gateway": GATEWAY, "home": HOME}
    config = config.format(**names, path=path, **HARDENING)
    with running_kubelet(folder / "kubernetes", uid) as cluster:
        settings = {
            "insecure_same_uid": False,
            "spawn": {"user_options": ["profile"]},
            # Containers reach this machine by the address of their bridge.
            "service": {"host": "0.0.0.0", "port": service, "url": f"http://{GATEWAY}:{service}"},
            **_allow_reviews(cluster),
        }
        with _hub(folder, cluster, settings, config, person, owner) as hub:
            prepare_project_namespace(cluster)
            yield hub, cluster


def _hub(
    folder: Path, cluster: KubernetesCluster, settings: dict[str, Any], config: str, person: str, owner: str
) -> AbstractContextManager[HubHandle]:
    return running_hub(
        folder,
        settings,
        accounts={person: "", owner: "PROJECT_CREATOR"},
        seed=seed_project(person, owner),
        config=config,
        wrapper=("env", f"KUBECONFIG={cluster.kubeconfig}"),
    )


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


HUB_USER = {"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "hub"}


def prepare_project_namespace(
    cluster: KubernetesCluster, name: str = PROJECT_NAMESPACE, hub: dict[str, str] = HUB_USER
) -> None:
    """Create the namespace of a project as its manifests say, for the account of the hub in this cluster."""
    namespace, role, binding, network = project_manifests()
    namespace["metadata"]["name"] = name
    binding["subjects"] = [hub]
    cluster.create("/api/v1/namespaces?fieldValidation=Strict", namespace)
    for group, plural, manifest in (
        ("rbac.authorization.k8s.io", "roles", role),
        ("rbac.authorization.k8s.io", "rolebindings", binding),
        ("networking.k8s.io", "networkpolicies", network),
    ):
        path = f"/apis/{group}/v1/namespaces/{name}/{plural}"
        cluster.create(f"{path}?fieldValidation=Strict", manifest)
    wait_until(lambda: cluster.list_objects("serviceaccounts", name), "pods can have a service account")
