"""Servers as pods, whose tokens are in a Secret of their own and not in the description of the pod."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Final

from jupyterhub.utils import exponential_backoff, maybe_future
from kubernetes_asyncio.client import (
    ApiException,
    V1EnvVar,
    V1EnvVarSource,
    V1KeyToPath,
    V1ObjectMeta,
    V1OwnerReference,
    V1ProjectedVolumeSource,
    V1Secret,
    V1SecretKeySelector,
    V1SecretVolumeSource,
    V1ServiceAccountTokenProjection,
    V1Volume,
    V1VolumeMount,
    V1VolumeProjection,
)
from kubespawner import KubeSpawner
from traitlets import TraitError, Unicode, default, validate

from aizen_hub.hub.spawn.pod_limits import bound_resources
from aizen_hub.hub.spawn.project_namespace import check_template, namespace_of
from aizen_hub.hub.spawn.server_session import spawn_error
from aizen_hub.hub.spawn.server_tokens import HUB_TOKEN, ROLE_TOKEN, remove_tokens

VOLUME: Final = "aizen-tokens"
FOLDER: Final = "/var/run/secrets/aizen"
POD_VOLUME: Final = "aizen-pod"
POD_FOLDER: Final = "/var/run/secrets/aizen-pod"
_POD_FILE, _POD_SECONDS = "token", 600  # the shortest that Kubernetes issues; the kubelet replaces it in time
_HUB_KEY, _ROLE_KEY = "hub-token", "role-token"
_REFUSED, _MISSING, _CONFLICT = 403, 404, 409
_Hook = Callable[[Any, Any], Any]


class AizenKubeSpawner(KubeSpawner):
    """The KubeSpawner of jupyterhub-kubespawner, with the tokens of a server in a Secret that the pod owns.

    Everyone who may read pods would see them there otherwise, and KubeSpawner logs pods that the API refuses. The
    Secret is created after the pod, which waits for it, and ends with it: the hub has to create Secrets and nothing
    more, which the role of the Zero-to-JupyterHub chart allows. The limits of roles apply after the hook of the
    operator.
    """

    namespace: str  # of KubeSpawner, and of the last start
    aizen_pod_audience: str | None = None
    """Of the token by which the service recognizes the pod of this start (`pod_identity` of aizen.yaml)."""
    project_namespace_template = Unicode(
        "",
        help="The namespace of the servers of a project, such as `aizen-{project}`, which has to exist with the rights "
        "of the hub; servers without a project, and all if this is empty, run in `namespace`",
    ).tag(config=True)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.project_namespace_template and self.enable_user_namespaces:
            raise TraitError("`project_namespace_template` and `enable_user_namespaces` exclude each other")
        # A start, and the state of the last one, replaces the configured value.
        self._namespace_without_project = self.namespace

    @validate("project_namespace_template")
    def _validate_project_namespace_template(self, proposal: Any) -> str:
        if proposal.value:
            try:
                check_template(proposal.value)
            except ValueError as error:
                raise TraitError(f"project_namespace_template: {error}") from None
        return str(proposal.value)

    async def start(self) -> Any:
        """Start the pod, in the namespace of its project.

        Raises
        ------
        SpawnException
            The project has no namespace, or that of the hub, or the hub has no right there.
        """
        if self.project_namespace_template:
            project, namespace = self.environment.get("AIZEN_PROJECT", ""), self._namespace_without_project
            if project:
                namespace = namespace_of(self.project_namespace_template, project)
                self._refuse_namespace_of_hub(namespace, project)
                # Before it is entered: KubeSpawner watches it and cleans up in it, and tries for long where it may not.
                await self._check_namespace(namespace, project)
            self._enter_namespace(namespace)
        return await super().start()

    def _enter_namespace(self, namespace: str) -> None:
        if namespace == self.namespace:
            return
        self.namespace = namespace
        self.dns_name = self.dns_name_template.format(namespace=namespace, name=self.pod_name)
        # The volume of the last start was one of another namespace.
        self.pvc_name = self._expand_user_properties(self.pvc_name_template)
        self._pvc_exists = False

    def _refuse_namespace_of_hub(self, namespace: str, project: str) -> None:
        # Who creates projects chooses their names. Servers without a project may be configured to run elsewhere.
        if namespace in (self._namespace_without_project, self._namespace_default()):
            raise spawn_error(
                f"the project `{project}` cannot run in the namespace `{namespace}`, which is that of the hub",
                "kubernetes-namespace",
                "create the project under another name, or ask the operator of the cluster for another "
                "`project_namespace_template`",
            )

    async def _check_namespace(self, namespace: str, project: str) -> None:
        try:
            async with asyncio.timeout(self.k8s_api_request_timeout):
                await self.api.list_namespaced_pod(namespace, limit=1)
        except ApiException as error:
            if error.status not in (_REFUSED, _MISSING):
                raise
            self.log.error("no right to pods in the namespace `%s`: %s", namespace, error.reason)
            raise spawn_error(
                f"the project `{project}` has no namespace `{namespace}` on this cluster",
                "kubernetes-namespace",
                "ask the operator of the cluster, who creates it with the rights of the hub",
            ) from None

    def get_env(self) -> dict[str, Any]:
        """Return the environment of the container, without the values of tokens."""
        environment: dict[str, Any] = super().get_env()
        remove_tokens(environment)
        environment["AIZEN_TOKEN_FILE"] = f"{FOLDER}/{_ROLE_KEY}"
        if self.aizen_pod_audience is not None:
            environment["AIZEN_POD_TOKEN_FILE"] = f"{POD_FOLDER}/{_POD_FILE}"
        return environment

    async def get_pod_manifest(self) -> Any:
        """Return the pod with references to its Secret."""
        pod = await super().get_pod_manifest()
        container = _notebook_of(pod)
        selector = V1SecretKeySelector(name=self.secret_of_tokens, key=_HUB_KEY)
        container.env = [
            *(container.env or []),
            V1EnvVar(name=HUB_TOKEN, value_from=V1EnvVarSource(secret_key_ref=selector)),
        ]
        # Root's, and with `fs_gid` readable for the group of the pod. A kernel that cannot read it obtains another one.
        source = V1SecretVolumeSource(
            secret_name=self.secret_of_tokens, default_mode=0o400, items=[V1KeyToPath(key=_ROLE_KEY, path=_ROLE_KEY)]
        )
        _mount(pod, V1Volume(name=VOLUME, secret=source), FOLDER)
        if self.aizen_pod_audience is not None:
            _mount(pod, V1Volume(name=POD_VOLUME, projected=_pod_token(self.aizen_pod_audience)), POD_FOLDER)
        return pod

    @property
    def secret_of_tokens(self) -> str:
        """The name of the Secret, a new one at each start."""
        digest = hashlib.sha256(self.api_token.encode()).hexdigest()[:10]
        return f"{self.pod_name[:230]}-aizen-{digest}"

    async def create_secret(self, pod: Any) -> None:
        """Create the Secret, which the garbage collector of Kubernetes deletes with the pod.

        Raises
        ------
        TimeoutError, ApiException
        """
        metadata = pod["metadata"]
        owner = V1OwnerReference(api_version="v1", kind="Pod", name=metadata["name"], uid=metadata["uid"])
        secret = V1Secret(
            metadata=V1ObjectMeta(name=self.secret_of_tokens, owner_references=[owner], labels=metadata.get("labels")),
            immutable=True,
            string_data={_HUB_KEY: self.api_token, _ROLE_KEY: self.environment.get(ROLE_TOKEN, "")},
        )
        await exponential_backoff(
            partial(self._try_to_create, secret),
            f"the Secret {self.secret_of_tokens} was not created",
            timeout=self.k8s_api_request_retry_timeout,
        )

    async def _try_to_create(self, secret: V1Secret) -> bool:
        try:
            async with asyncio.timeout(self.k8s_api_request_timeout):
                await self.api.create_namespaced_secret(self.namespace, secret)
        except TimeoutError:
            return False
        except ApiException as error:
            if error.status != _CONFLICT:  # an attempt that seemed to time out
                raise
        return True

    @default("modify_pod_hook")
    def _default_modify_pod_hook(self) -> _Hook:
        return _bounded(None)

    @validate("modify_pod_hook")
    def _validate_modify_pod_hook(self, proposal: Any) -> _Hook:
        return _bounded(proposal.value)

    @default("after_pod_created_hook")
    def _default_after_pod_created_hook(self) -> _Hook:
        return _with_secret(None)

    @validate("after_pod_created_hook")
    def _validate_after_pod_created_hook(self, proposal: Any) -> _Hook:
        return _with_secret(proposal.value)


def _bounded(hook: _Hook | None) -> Callable[[Any, Any], Awaitable[Any]]:
    async def modify(spawner: Any, pod: Any) -> Any:
        if hook is not None:
            pod = await maybe_future(hook(spawner, pod))
        limits = getattr(spawner, "aizen_limits", None)
        if limits is not None:
            bound_resources(_notebook_of(pod), limits)
        return pod

    return modify


def _with_secret(hook: _Hook | None) -> Callable[[Any, Any], Awaitable[None]]:
    async def create(spawner: Any, pod: Any) -> None:
        await spawner.create_secret(pod)
        if hook is not None:
            await maybe_future(hook(spawner, pod))

    return create


def _pod_token(audience: str) -> V1ProjectedVolumeSource:
    """Return a token of the pod's service account, bound to the pod, which only the service accepts."""
    token = V1ServiceAccountTokenProjection(audience=audience, expiration_seconds=_POD_SECONDS, path=_POD_FILE)
    # Only the notebook's container mounts it. For a pod with a `uid` or `fs_gid` the kubelet makes it private to those.
    return V1ProjectedVolumeSource(default_mode=0o444, sources=[V1VolumeProjection(service_account_token=token)])


def _mount(pod: Any, volume: V1Volume, path: str) -> None:
    container = _notebook_of(pod)
    pod.spec.volumes = [*(pod.spec.volumes or []), volume]
    mount = V1VolumeMount(name=volume.name, mount_path=path, read_only=True)
    container.volume_mounts = [*(container.volume_mounts or []), mount]


def _notebook_of(pod: Any) -> Any:
    return next(container for container in pod.spec.containers if container.name == "notebook")
