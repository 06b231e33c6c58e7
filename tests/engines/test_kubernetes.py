"""A real API server, etcd and controllers with KubeSpawner; pods are processes under an account of their own.

Each project has a namespace here, and role tokens count in their pods only; without both: test_fake_kubernetes.py, and
the demonstration with the real API server.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from aizen_hub.demo.browser import SpawnRejectedError
from aizen_hub.demo.kernel import Kernel
from tests.deploy.kubernetes.chart import VALUES, needs_helm, render_chart
from tests.deploy.test_engine_recipes import service_manifests
from tests.deploy.test_kubernetes import blocks, deployment_with_pod_identity
from tests.engines import journey
from tests.engines.kubernetes_hub import POD_IDENTITY_FOLDER, PROJECT_NAMESPACE, KubernetesHub, kubernetes_hub
from tests.engines.slurm_hub import open_folder
from tests.fixtures.accounts import free_uids
from tests.fixtures.engines.kubernetes import NAMESPACE

pytestmark = [pytest.mark.needs("kubernetes"), pytest.mark.slow]

PERSON = "erin"


@pytest.fixture(scope="module")
def kubernetes() -> Iterator[KubernetesHub]:
    with open_folder() as folder:
        (uid,) = free_uids(1)
        with kubernetes_hub(folder, uid, PERSON, "maker", by_project=True, pod_identity=True) as (hub, cluster):
            yield KubernetesHub(hub, cluster, uid, hub.login(PERSON))


@pytest.fixture
def home(kubernetes: KubernetesHub) -> str:
    """A running server for the project, the same for several tests."""
    if kubernetes.person.server() is None:
        kubernetes.person.spawn(journey.PROJECT, seconds=journey.START_SECONDS)
    return f"/user/{PERSON}/"


@pytest.mark.proves("R138", "R139")
def test_a_pod_runs_commands_within_the_limits_of_its_roles(kubernetes: KubernetesHub, home: str) -> None:
    (pod,) = kubernetes.pods()
    resources = pod["spec"]["containers"][0]["resources"]
    for kind in ("limits", "requests"):
        assert resources[kind]["memory"] == str(journey.MEMORY), "the profile says 8G, the chart guarantees 1G"
        assert resources[kind]["cpu"] == "1500m"
    with Kernel(kubernetes.person, home) as kernel:
        journey.check_commands(kernel)
        assert kernel.execute("import os; print(os.getuid())").stream.strip() == str(kubernetes.uid)


@pytest.mark.proves("T-10", "T-59", "R35", "R140")
def test_the_tokens_are_only_in_a_secret_that_the_pod_owns(kubernetes: KubernetesHub, home: str) -> None:
    with Kernel(kubernetes.person, home) as kernel:
        environ = journey.environment_in(kernel)
        role_token = kernel.execute("print(open(os.environ['AIZEN_TOKEN_FILE']).read())").stream.strip()
    token = environ["JUPYTERHUB_API_TOKEN"]
    assert len(token) == 32
    assert "AIZEN_TOKEN" not in environ
    assert role_token.count(".") == 2
    shown = json.dumps([kubernetes.pods(), kubernetes.cluster.list_objects("events", PROJECT_NAMESPACE)])
    assert token not in shown
    assert role_token not in shown
    (secret,) = kubernetes.secrets()
    (pod,) = kubernetes.pods()
    assert [owner["uid"] for owner in secret["metadata"]["ownerReferences"]] == [pod["metadata"]["uid"]]
    assert secret["immutable"] is True
    assert journey.find_in_processes(token, {kubernetes.uid}) == []
    (mounted,) = Path(kubernetes.cluster.folder, "pods").glob("*/aizen-tokens/..data/role-token")
    assert mounted.stat().st_uid == 0
    assert mounted.stat().st_mode & 0o777 == 0o440, "root's, and readable for the group of the pod"


@pytest.mark.proves("T-09", "R50")
def test_a_role_token_counts_only_with_the_token_of_its_pod(kubernetes: KubernetesHub, home: str) -> None:
    with Kernel(kubernetes.person, home) as kernel:
        journey.check_commands(kernel)
        read = "print(open(os.environ['AIZEN{}_TOKEN_FILE']).read())"
        kernel.execute("import os")
        role_token, pod_token = (kernel.execute(read.format(kind)).stream.strip() for kind in ("", "_POD"))
        hub_token = journey.environment_in(kernel)["JUPYTERHUB_API_TOKEN"]
    (mounted,) = Path(kubernetes.cluster.folder, "pods").glob("*/aizen-pod/..data/token")
    assert mounted.read_text() == pod_token
    status = mounted.stat()
    assert (status.st_uid, status.st_gid, status.st_mode & 0o777) == (kubernetes.uid, kubernetes.uid, 0o640)
    (pod,) = kubernetes.pods()
    audience = audience_of(pod)
    of_pod = {"kind": "Pod", "apiVersion": "v1", "name": pod["metadata"]["name"], "uid": pod["metadata"]["uid"]}
    assert kubernetes.ask(role_token, pod_token) == (200, None)
    assert kubernetes.ask(role_token, kubernetes.issue_token(audience, of_pod)) == (200, None)
    refused = (401, "pod-refused")
    assert kubernetes.ask(role_token, kubernetes.issue_token(f"{audience}0", of_pod)) == refused
    assert kubernetes.ask(role_token, kubernetes.issue_token(audience, None)) == refused, "of the account, and no pod"
    assert kubernetes.ask(role_token, pod_token[:-8] + "AAAAAAAA") == refused
    assert kubernetes.ask(role_token, None) == (401, "pod-missing"), "stolen from the pod, it is useless"
    assert kubernetes.ask(role_token, pod_token) == (200, None)
    assert kubernetes.renew(hub_token, None) == (400, "pod-missing"), "and so is the hub token of the server"
    assert kubernetes.renew(hub_token, pod_token) == (200, None)
    kubernetes.person.stop(seconds=journey.WAIT_SECONDS)
    status, code = kubernetes.ask(role_token, pod_token)
    assert (status, code) in ((401, "session-ended"), refused), "the session is the authority"


def audience_of(pod: dict[str, Any]) -> str:
    (volume,) = (volume for volume in pod["spec"]["volumes"] if volume["name"] == "aizen-pod")
    return str(volume["projected"]["sources"][0]["serviceAccountToken"]["audience"])


def test_servers_run_in_the_namespace_of_their_project_only(kubernetes: KubernetesHub, home: str) -> None:
    """Where the hub has the rights of a Role in that namespace, and none on the cluster."""
    (pod,) = kubernetes.pods()
    assert pod["metadata"]["annotations"]["hub.jupyter.org/username"] == PERSON
    assert kubernetes.cluster.list_objects("pods", NAMESPACE) == []
    assert kubernetes.cluster.list_objects("secrets", NAMESPACE) == []
    kubernetes.person.stop(seconds=journey.WAIT_SECONDS)
    with pytest.raises(SpawnRejectedError, match=r"`?elsewhere`? has no namespace `?aizen-elsewhere`? on this cluster"):
        kubernetes.person.spawn("elsewhere", seconds=journey.START_SECONDS)
    kubernetes.person.spawn(journey.PROJECT, seconds=journey.START_SECONDS)
    assert len(kubernetes.pods()) == 1, "another start is in the right namespace again"


@pytest.mark.proves("R35")
def test_a_server_survives_a_restart_of_the_hub_and_its_secret_goes_with_it(
    kubernetes: KubernetesHub, home: str
) -> None:
    kubernetes.hub.kill()
    kubernetes.hub.restart()
    assert kubernetes.person.server() is not None
    with Kernel(kubernetes.person, home) as kernel:
        journey.check_commands(kernel)
        token = journey.environment_in(kernel)["JUPYTERHUB_API_TOKEN"]
    kubernetes.person.stop(seconds=journey.WAIT_SECONDS)
    journey.wait_until(lambda: not kubernetes.pods(), "the pod ends")
    journey.wait_until(lambda: not kubernetes.secrets(), "the garbage collector deletes it")
    assert journey.find_in_processes(token, set()) == []


@pytest.mark.proves("R48")
def test_a_revoked_role_counts_at_once_and_a_lock_ends_the_pod(kubernetes: KubernetesHub, home: str) -> None:
    with Kernel(kubernetes.person, home) as kernel:
        journey.check_revocation(kubernetes.hub, PERSON, kernel, kubernetes.pods)
    journey.wait_until(lambda: not kubernetes.secrets(), "the garbage collector deletes it")


def check_with_api_server(kubernetes: KubernetesHub, manifest: dict[str, Any], namespace: str) -> None:
    """Create an object with `dryRun`; each field that the API server does not know is an error."""
    version, kind = manifest["apiVersion"], manifest["kind"]
    group = f"/api/{version}" if "/" not in version else f"/apis/{version}"
    (resource,) = (
        resource
        for resource in kubernetes.cluster.read(group)["resources"]
        if resource["kind"] == kind and "/" not in resource["name"]
    )
    where = f"/namespaces/{namespace}" if resource["namespaced"] else ""
    path = f"{group}{where}/{resource['name']}?dryRun=All&fieldValidation=Strict"
    assert kubernetes.cluster.create(path, manifest)["kind"] == kind


def test_the_api_server_accepts_the_manifests_of_the_service(kubernetes: KubernetesHub) -> None:
    archiving = yaml.safe_load(
        (POD_IDENTITY_FOLDER.with_name("audit-archive") / "cronjob.yaml").read_text(encoding="utf-8")
    )
    for manifest in [*service_manifests(), deployment_with_pod_identity(), archiving]:
        if manifest["kind"] != "PodMonitor":  # which the Prometheus operator adds to a cluster
            check_with_api_server(kubernetes, manifest, NAMESPACE)


@needs_helm
def test_the_api_server_accepts_the_chart_with_our_values(kubernetes: KubernetesHub, tmp_path: Path) -> None:
    for_projects = tmp_path / "projects.yaml"
    for_projects.write_text(yaml.safe_dump(blocks()[2]), encoding="utf-8")
    namespace = "default"  # where nothing of the chart exists
    objects = render_chart(namespace, [VALUES, for_projects])
    for manifest in objects:
        check_with_api_server(kubernetes, manifest, namespace)
    kinds = {manifest["kind"] for manifest in objects}
    assert kinds >= {"ConfigMap", "Deployment", "NetworkPolicy", "Role", "RoleBinding", "Secret", "Service"}
