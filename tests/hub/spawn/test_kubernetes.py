"""The pod and the Secret of a server; the API server is the operator's, and stands in here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from jupyterhub.spawner import SpawnException
from kubernetes_asyncio.client import ApiException
from kubespawner import KubeSpawner
from traitlets import TraitError
from traitlets.config import Config

from aizen_hub.hub.spawn.kubernetes import AizenKubeSpawner
from aizen_hub.hub.spawn.resource_limits import ResourceLimits

pytestmark = pytest.mark.usefixtures("kube_config")
TOKEN = "0123456789abcdef0123456789abcdef"
ROLE = "header.payload.signature"
GIB = 2**30
POD = {"metadata": {"name": "jupyter-erin", "uid": "7", "labels": {"app": "jupyterhub"}}}


class FakeApi:
    """A fake API server: stores what is created, or fails as often as it is told."""

    def __init__(self, *failures: Exception) -> None:
        self.failures = list(failures)
        self.secrets: list[Any] = []

    async def create_namespaced_secret(self, namespace: str, secret: Any) -> None:
        if self.failures:
            raise self.failures.pop(0)
        self.secrets.append(secret)


@pytest.fixture
def spawner() -> Callable[..., AizenKubeSpawner]:
    def create(**configured: Any) -> AizenKubeSpawner:
        config = Config()
        config.KubeSpawner.update(configured)
        made = AizenKubeSpawner(config=config, _mock=True)
        made.api_token = TOKEN
        made.environment = {"AIZEN_TOKEN": ROLE, "AIZEN_URL": "http://127.0.0.1:9"}
        return made

    return create


async def final_pod(spawner: AizenKubeSpawner) -> Any:
    """Return the pod as KubeSpawner sends it."""
    pod = await spawner.get_pod_manifest()
    return await spawner.modify_pod_hook(spawner, pod)


@pytest.mark.proves("T-10", "R35")
async def test_a_pod_holds_no_token(spawner: Callable[..., AizenKubeSpawner]) -> None:
    server = spawner()
    pod = await final_pod(server)
    assert TOKEN not in str(pod)
    assert ROLE not in str(pod)
    (container,) = pod.spec.containers
    variables = {variable.name: variable for variable in container.env}
    assert not {"JPY_API_TOKEN", "AIZEN_TOKEN"} & set(variables)
    assert variables["AIZEN_URL"].value == "http://127.0.0.1:9"
    reference = variables["JUPYTERHUB_API_TOKEN"].value_from.secret_key_ref
    volume = next(volume for volume in pod.spec.volumes if volume.name == "aizen-tokens")
    assert reference.name == volume.secret.secret_name
    assert volume.secret.default_mode == 0o400
    assert [item.key for item in volume.secret.items] == ["role-token"], "the hub token is no file"
    mount = next(mount for mount in container.volume_mounts if mount.name == "aizen-tokens")
    assert variables["AIZEN_TOKEN_FILE"].value == f"{mount.mount_path}/role-token"
    assert mount.sub_path is None


@pytest.mark.proves("T-09", "R50")
async def test_a_pod_gets_a_token_for_its_session_where_the_service_asks_for_one(
    spawner: Callable[..., AizenKubeSpawner],
) -> None:
    server = spawner()
    assert "aizen-pod" not in str(await final_pod(server)), "off by default"
    server.aizen_pod_audience = "aizen-hub:s1"
    pod = await final_pod(server)
    (container,) = pod.spec.containers
    volume = next(volume for volume in pod.spec.volumes if volume.name == "aizen-pod")
    assert volume.projected.default_mode == 0o444
    (source,) = volume.projected.sources
    token = source.service_account_token
    assert (token.audience, token.expiration_seconds) == ("aizen-hub:s1", 600)
    mount = next(mount for mount in container.volume_mounts if mount.name == "aizen-pod")
    assert mount.read_only
    assert mount.sub_path is None, "a single file would not be replaced"
    variables = {variable.name: variable.value for variable in container.env}
    assert variables["AIZEN_POD_TOKEN_FILE"] == f"{mount.mount_path}/{token.path}"


async def test_the_secret_belongs_to_the_pod_and_to_one_start(spawner: Callable[..., AizenKubeSpawner]) -> None:
    server = spawner()
    server.api = FakeApi(TimeoutError(), ApiException(status=409))
    await server.after_pod_created_hook(server, POD)
    assert server.api.secrets == [], "an attempt that timed out has created it"
    server.api = FakeApi(TimeoutError())
    await server.after_pod_created_hook(server, POD)
    (secret,) = server.api.secrets
    assert secret.string_data == {"hub-token": TOKEN, "role-token": ROLE}
    assert secret.immutable
    (owner,) = secret.metadata.owner_references
    assert (owner.kind, owner.name, owner.uid) == ("Pod", "jupyter-erin", "7")
    first = server.secret_of_tokens
    server.api_token = TOKEN[::-1]
    assert server.secret_of_tokens != first


async def test_a_refusal_of_the_api_server_fails_the_start(spawner: Callable[..., AizenKubeSpawner]) -> None:
    server = spawner()
    server.api = FakeApi(ApiException(status=403))
    with pytest.raises(ApiException):
        await server.after_pod_created_hook(server, POD)


@pytest.mark.proves("R138")
async def test_hooks_of_the_operator_run_before_the_limits_and_after_the_secret(
    spawner: Callable[..., AizenKubeSpawner],
) -> None:
    calls: list[str] = []

    def enlarge(spawner: Any, pod: Any) -> Any:
        pod.spec.containers[0].resources.limits["memory"] = "64Gi"
        pod.spec.containers[0].resources.requests["memory"] = "32Gi"
        return pod

    async def after(spawner: Any, pod: Any) -> None:
        calls.append(f"after {len(spawner.api.secrets)}")

    server = spawner(modify_pod_hook=enlarge, after_pod_created_hook=after)
    server.aizen_limits = ResourceLimits(server)
    server.aizen_limits.set_ceilings(GIB, None)
    server.api = FakeApi()
    (container,) = (await final_pod(server)).spec.containers
    assert (container.resources.limits["memory"], container.resources.requests["memory"]) == (str(GIB), str(GIB))
    await server.after_pod_created_hook(server, POD)
    assert calls == ["after 1"]


async def test_the_guarantee_of_the_chart_and_a_smaller_limit(spawner: Callable[..., AizenKubeSpawner]) -> None:
    server = spawner(mem_guarantee="1G")
    server.aizen_limits = ResourceLimits(server)
    server.aizen_limits.set_ceilings(700 * 2**20, 2)
    (container,) = (await final_pod(server)).spec.containers
    assert container.resources.limits == {"memory": 700 * 2**20, "cpu": 2}
    assert container.resources.requests == {"memory": 700 * 2**20, "cpu": "0"}


class NamespaceApi(FakeApi):
    """A fake API server on which the hub has rights in one namespace."""

    async def list_namespaced_pod(self, namespace: str, limit: int) -> None:
        if namespace != "aizen-churn":
            raise ApiException(status=403)


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str, bool]]:
    """The namespace, volume and its existence of each start that reaches KubeSpawner."""
    starts: list[tuple[str, str, bool]] = []

    async def start(self: Any) -> None:
        starts.append((self.namespace, self.dns_name, self._pvc_exists))

    monkeypatch.setattr(KubeSpawner, "start", start)
    return starts


async def test_a_start_is_in_the_namespace_of_its_project(
    spawner: Callable[..., AizenKubeSpawner], started: list[tuple[str, str, bool]]
) -> None:
    server = spawner(project_namespace_template="aizen-{project}", namespace="jupyter")
    server.api = NamespaceApi()
    server.environment["AIZEN_PROJECT"] = "churn"
    server._pvc_exists = True
    await server.start()
    assert [(namespace, has_volume) for namespace, _, has_volume in started] == [("aizen-churn", False)]
    assert "aizen-churn" in started[0][1]
    server._pvc_exists = True
    await server.start()
    assert started[1][2], "the same namespace has the same volume"
    restored = spawner(project_namespace_template="aizen-{project}", namespace="jupyter")
    restored.load_state(server.get_state())
    assert restored.namespace == "aizen-churn", "after a restart of the hub"


async def test_a_project_without_a_namespace_cannot_start(
    spawner: Callable[..., AizenKubeSpawner], started: list[tuple[str, str, bool]]
) -> None:
    server = spawner(project_namespace_template="aizen-{project}", namespace="jupyter")
    server.api = NamespaceApi()
    server.environment["AIZEN_PROJECT"] = "pricing"
    with pytest.raises(SpawnException, match="has no namespace `aizen-pricing`"):
        await server.start()
    assert started == []
    assert server.namespace == "jupyter", "the hub cleans up after a failed start where it may"
    server.environment["AIZEN_PROJECT"] = ""
    await server.start()
    assert started[0][0] == "jupyter", "a server without a project"


@pytest.mark.parametrize("is_configured", [True, False])
async def test_no_project_starts_in_the_namespace_of_the_hub(
    spawner: Callable[..., AizenKubeSpawner],
    started: list[tuple[str, str, bool]],
    monkeypatch: pytest.MonkeyPatch,
    is_configured: bool,
) -> None:
    """Users who create projects choose their names."""
    server = spawner(
        project_namespace_template="aizen-{project}", namespace="aizen-churn" if is_configured else "jupyter"
    )
    if not is_configured:
        monkeypatch.setattr(server, "_namespace_default", lambda: "aizen-churn")
    server.api = NamespaceApi()
    server.environment["AIZEN_PROJECT"] = "churn"
    with pytest.raises(SpawnException, match="`aizen-churn`, which is that of the hub"):
        await server.start()
    assert started == []
    server.environment["AIZEN_PROJECT"] = ""
    await server.start()
    assert len(started) == 1, "a server without a project"


async def test_without_a_template_every_server_is_in_the_namespace_of_the_hub(
    spawner: Callable[..., AizenKubeSpawner], started: list[tuple[str, str, bool]]
) -> None:
    server = spawner(namespace="jupyter")
    server.environment["AIZEN_PROJECT"] = "churn"
    await server.start()
    assert started[0][0] == "jupyter"


async def test_namespaces_that_contradict_each_other_are_refused(spawner: Callable[..., AizenKubeSpawner]) -> None:
    with pytest.raises(TraitError, match="such as `aizen-"):
        spawner(project_namespace_template="{project}")
    with pytest.raises(TraitError, match="exclude each other"):
        spawner(project_namespace_template="aizen-{project}", enable_user_namespaces=True)
