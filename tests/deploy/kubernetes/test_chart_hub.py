"""What the chart's own configuration makes of our values: the hub, and the pods of its servers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from jupyterhub.app import JupyterHub
from kubernetes_asyncio.client import ApiClient

from aizen_hub.hub import config_guard
from aizen_hub.hub.login.authenticator import AizenAuthenticator
from aizen_hub.hub.spawn.kubernetes import AizenKubeSpawner
from aizen_hub.hub.spawn.resource_limits import ResourceLimits
from tests.deploy.kubernetes.chart import VALUES
from tests.deploy.kubernetes.chart_hub import NAMESPACE, configure_chart_hub, merge_values
from tests.deploy.test_kubernetes import FOLDER, GUIDE, blocks

pytestmark = pytest.mark.usefixtures("kube_config")
MEMORY = 700 * 2**20
TOKEN, ROLE_TOKEN = "0123456789abcdef0123456789abcdef", "header.payload.signature"


@pytest.fixture
def hub(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[JupyterHub]:
    """A hub with `values.yaml`, and the values of an operator where the test has some."""
    JupyterHub.clear_instance()
    values = merge_values(yaml.safe_load(VALUES.read_text(encoding="utf-8")), getattr(request, "param", {}))
    (tmp_path / "hub").mkdir()
    yield configure_chart_hub(values, tmp_path / "hub", monkeypatch)
    JupyterHub.clear_instance()


async def pod_of(hub: JupyterHub) -> Any:
    """Return the pod of a server as it is sent, whose roles allow less memory than the chart guarantees."""
    server = AizenKubeSpawner(config=hub.config, _mock=True)
    server.api_token = TOKEN
    server.environment = {**server.environment, "AIZEN_TOKEN": ROLE_TOKEN}
    server.aizen_limits = ResourceLimits(server)
    server.aizen_limits.set_ceilings(MEMORY, 2)
    return await server.modify_pod_hook(server, await server.get_pod_manifest())


def test_the_hub_has_no_fault_that_the_guard_knows(hub: JupyterHub, tmp_path: Path) -> None:
    hub.authenticator = AizenAuthenticator(parent=hub)
    assert list(config_guard.find_violations(hub, hub.authenticator.aizen_settings)) == []
    assert hub.spawner_class is AizenKubeSpawner
    service, *_ = (entry for entry in hub.services if entry["name"] == "aizen")
    assert service["url"] == "http://aizen:9095"
    assert "jupyterhub-idle-culler" in {entry["name"] for entry in hub.services}, "of the chart, and not lost"
    written = {path.name for path in (tmp_path / "hub").iterdir()} - {"aizen.yaml", "mounted"}
    assert written <= {"jupyterhub.sqlite"}, "of the hub, in the volume of the chart"


@pytest.mark.proves("R138", "R35")
async def test_limits_of_roles_bound_what_the_chart_guarantees_and_no_token_is_in_the_pod(hub: JupyterHub) -> None:
    pod = await pod_of(hub)
    (container,) = pod.spec.containers
    assert container.resources.limits == {"memory": MEMORY, "cpu": 2}
    assert container.resources.requests == {"memory": MEMORY, "cpu": "0"}, "the chart guarantees 1G"
    assert TOKEN not in str(pod)
    assert ROLE_TOKEN not in str(pod)


async def test_a_pod_of_a_user_has_no_right_that_it_does_not_need(hub: JupyterHub) -> None:
    """What the standard *restricted* for pods asks, and no token of Kubernetes."""
    spec = (await pod_of(hub)).spec
    assert spec.automount_service_account_token is False
    assert spec.enable_service_links is False
    assert not spec.init_containers
    assert spec.security_context["runAsNonRoot"] is True
    assert spec.security_context["seccompProfile"] == {"type": "RuntimeDefault"}
    assert spec.security_context["fsGroup"] == 100
    (container,) = spec.containers
    context = container.security_context
    assert context["runAsUser"] == 1000
    assert context["allowPrivilegeEscalation"] is False
    assert context["capabilities"] == {"drop": ["ALL"]}
    assert "privileged" not in context


async def test_the_labels_of_a_pod_are_those_of_the_network_policies(hub: JupyterHub) -> None:
    labels = (await pod_of(hub)).metadata.labels
    policy = yaml.safe_load((FOLDER / "service" / "network.yaml").read_text(encoding="utf-8"))
    of_chart, of_projects = (source["podSelector"] for source in policy["spec"]["ingress"][0]["from"])
    for expression in of_chart["matchExpressions"]:
        assert labels[expression["key"]] in expression["values"]
    assert labels.items() >= of_projects["matchLabels"].items()
    assert labels["hub.jupyter.org/network-access-hub"] == "true"


@pytest.mark.parametrize("hub", [blocks()[2]], indirect=True, ids=["projects"])
async def test_the_values_for_projects_reach_the_spawner(hub: JupyterHub) -> None:
    server = AizenKubeSpawner(config=hub.config, _mock=True)
    assert server.project_namespace_template == "aizen-{project}"
    assert server.namespace == NAMESPACE
    assert hub.hub_connect_url == blocks()[2]["hub"]["config"]["JupyterHub"]["hub_connect_url"], (
        "pods of other namespaces know no short names"
    )


OF_OPERATOR = {
    "imagePullSecrets": ["registry"],
    "imagePullSecret": {"create": True, "automaticReferenceInjection": True},
    "singleuser": {
        "image": {"pullSecrets": ["another"]},
        "extraFiles": {"motd": {"mountPath": "/etc/motd", "stringData": "hello"}},
        "serviceAccountName": "servers",
        "storage": {"type": "static", "static": {"pvcName": "homes"}},
    },
}


@pytest.mark.parametrize("hub", [OF_OPERATOR], indirect=True, ids=["references"])
async def test_the_guide_names_what_pods_refer_to_in_the_namespace_of_a_project(hub: JupyterHub) -> None:
    spec = (await pod_of(hub)).spec
    assert {entry.name for entry in spec.image_pull_secrets} == {"image-pull-secret", "registry", "another"}
    assert spec.service_account_name == "servers"
    assert spec.automount_service_account_token is False, "also where the servers have an account"
    async with ApiClient() as client:
        volumes = client.sanitize_for_serialization(spec.volumes)
    assert "singleuser" in {volume.get("secret", {}).get("secretName") for volume in volumes}
    assert "homes" in {volume.get("persistentVolumeClaim", {}).get("claimName") for volume in volumes}
    (table,) = re.findall(r"\| value \| object \|\n.*?\n\n", GUIDE, re.DOTALL)
    for value in (
        "imagePullSecrets",
        "singleuser.image.pullSecrets",
        "imagePullSecret.create",
        "singleuser.extraFiles",
    ):
        assert f"`{value}`" in table
    assert "`singleuser.serviceAccountName`" in table
    assert "`singleuser.storage.type: static`" in table
    assert "`image-pull-secret`" in table
