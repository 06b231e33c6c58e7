"""The shipped manifests of the service on a real node, with the PostgreSQL of this machine."""

from __future__ import annotations

import secrets
import time
import urllib.error
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.client import TOO_MANY_REQUESTS
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from aizen_hub.accounts.projects import lifecycle
from aizen_hub.accounts.roles import assignments
from aizen_hub.accounts.service_accounts import accounts, credentials
from aizen_hub.catalogs.loader import load_catalog
from aizen_hub.rbac.identity import Identity
from aizen_hub.settings import Settings
from aizen_hub.store.actor import Actor, Channel
from aizen_hub.store.sql_store import Store
from tests.deploy.kubernetes.operator_files import OperatorFiles
from tests.deploy.kubernetes.overlay import render_overlay
from tests.engines.journey import PROJECT, wait_until
from tests.fixtures.databases.postgres import Server, running_server
from tests.fixtures.engines.kubelet import GATEWAY, SUBNET, running_kubelet
from tests.fixtures.engines.kubernetes import KubernetesCluster

NAMESPACE = "jupyter"
ACCOUNT = 10001
"""Of the service, as its manifests say."""
NAME = "aizen-hub"
PERSON, OWNER = "erin", "maker"
WAIT_SECONDS = 240.0
_CHECKPOINTS = Path(__file__).parents[3] / "deploy" / "postgresql" / "checkpoints.sql"
_PLURALS = {"NetworkPolicy": "networkpolicies"}
_NAMESPACE = {
    "apiVersion": "v1",
    "kind": "Namespace",
    # The strictest of the standards for pods.
    "metadata": {"name": NAMESPACE, "labels": {"pod-security.kubernetes.io/enforce": "restricted"}},
}


@dataclass(frozen=True)
class ServicePods:
    """A cluster, its database, and the files of its operator."""

    cluster: KubernetesCluster
    database: Server
    files: OperatorFiles

    def apply(self) -> None:
        """Apply the overlay."""
        for value in render_overlay(self.files.folder / "overlay"):
            self.cluster.apply(f"{path_of(value)}/{value['metadata']['name']}", value)

    def start_migration(self) -> str:
        """Create the job, and return its path."""
        job = self.files.job()
        name = self.cluster.create(f"{path_of(job)}?fieldValidation=Strict", job)["metadata"]["name"]
        return f"{path_of(job)}/{name}"

    def wait_for_migration(self, path: str) -> None:
        wait_until(lambda: self._has_ended(path), "the job ends", WAIT_SECONDS)
        assert self.cluster.read(path)["status"].get("succeeded") == 1, self.report()

    def _has_ended(self, path: str) -> bool:
        conditions = self.cluster.read(path)["status"].get("conditions", [])
        return any(one["type"] in ("Complete", "Failed") and one["status"] == "True" for one in conditions)

    def deployment(self) -> Any:
        return self.cluster.read(self.deployment_path)

    @property
    def deployment_path(self) -> str:
        return f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments/{NAME}"

    @property
    def pods_path(self) -> str:
        return f"/api/v1/namespaces/{NAMESPACE}/pods"

    def pods(self) -> list[dict[str, Any]]:
        """Return the pods of the service, also those that are ending."""
        found: list[dict[str, Any]] = self.cluster.read(
            f"{self.pods_path}?labelSelector=app.kubernetes.io%2Fname%3D{NAME}"
        )["items"]
        return found

    def wait_until_rolled_out(self) -> None:
        """Wait as ``kubectl rollout status`` does, and until the former pods have ended."""

        def is_complete() -> bool:
            deployment = self.deployment()
            status, wanted = deployment["status"], deployment["spec"]["replicas"]
            counts = {status.get(name) for name in ("replicas", "updatedReplicas", "availableReplicas")}
            is_seen = status.get("observedGeneration") == deployment["metadata"]["generation"]
            return is_seen and counts == {wanted} and len(self.pods()) == wanted

        end = time.monotonic() + WAIT_SECONDS
        while not is_complete():
            assert time.monotonic() < end, self.report()
            time.sleep(0.5)

    def ready_addresses(self) -> list[str]:
        """Return the addresses that kube-proxy gives connections to the Service to."""
        path = f"/apis/discovery.k8s.io/v1/namespaces/{NAMESPACE}/endpointslices"
        slices = self.cluster.read(f"{path}?labelSelector=kubernetes.io%2Fservice-name%3Daizen")["items"]
        return [
            f"{address}:{port['port']}"
            for one in slices
            for port in one["ports"]
            for endpoint in one["endpoints"] or []
            if endpoint["conditions"]["ready"]
            for address in endpoint["addresses"]
        ]

    def restart(self) -> None:
        """Do what ``kubectl rollout restart`` does."""
        annotations = {"kubectl.kubernetes.io/restartedAt": "2026-12-01T00:00:00Z"}
        self.cluster.merge(self.deployment_path, {"spec": {"template": {"metadata": {"annotations": annotations}}}})

    def evict(self, pod: str) -> bool:
        """Ask for an eviction, as ``kubectl drain`` does; return whether the disruption budget allows it."""
        body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod, "namespace": NAMESPACE}}
        try:
            self.cluster.create(f"{self.pods_path}/{pod}/eviction", body)
        except urllib.error.HTTPError as error:
            if error.code != TOO_MANY_REQUESTS:
                raise
            return False
        return True

    def report(self) -> str:
        """Return what Kubernetes says about the objects of the namespace, and what the containers have written."""
        events = self.cluster.list_objects("events", NAMESPACE)
        lines = [f"{one['involvedObject']['name']}: {one['reason']}: {one.get('message')}" for one in events]
        for pod in self.pods():
            lines.append(f"{pod['metadata']['name']}: {pod['status'].get('containerStatuses')}")
        return "\n".join([*lines, *self._logs()])

    def _logs(self) -> list[str]:
        for process in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):  # it has ended
                # The folder of the logs is one of the node's own mounts.
                if f"--root-dir={self.cluster.folder}/kubelet".encode() in (process / "cmdline").read_bytes():
                    logs = (process / "root/var/log/pods").glob(f"{NAMESPACE}_*/*/*.log")
                    texts = [f"{log.parts[-3]}/{log.name}:\n{log.read_text(errors='replace')[-3000:]}" for log in logs]
                    if texts:
                        return texts
        return []

    def change_store(self) -> str:
        """Create a person who executes in a project, and an administrator's account; return its credential."""
        settings = Settings.model_validate(
            {"data_dir": str(self.files.folder), "database": f"postgresql://aizen@127.0.0.1:{self.database.port}/aizen"}
        )
        store = Store.open(settings, load_catalog(settings.catalog, settings.overlays))
        try:
            with store.write(Actor(Identity.service_account("operator"), Channel.OPERATOR)) as tx:
                return _create_people(tx)
        finally:
            store.close()


def _create_people(tx: Any) -> str:
    from aizen_hub.accounts.users import registration

    for name in (PERSON, OWNER):
        registration.create_user(tx, name, password="quite long, 7 words of it, unguessed")
    lifecycle.create_project(tx, PROJECT, owner=Identity.user(OWNER))
    assignments.grant_roles(tx, ["PROJECT_EXECUTOR"], PROJECT, Identity.user(PERSON), reason="test")
    accounts.create_service_account(tx, "robot")
    robot = Identity.service_account("robot")
    assignments.grant_roles(tx, ["PROJECT_ADMIN"], PROJECT, robot, reason="test")
    return str(credentials.issue_credential(tx, "robot").data["credential"])


def path_of(value: dict[str, Any]) -> str:
    """Return where objects of this kind are in the API."""
    version, kind = value["apiVersion"], value["kind"]
    group = f"/apis/{version}" if "/" in version else f"/api/{version}"
    return f"{group}/namespaces/{NAMESPACE}/{_PLURALS.get(kind, f'{kind.lower()}s')}"


@contextmanager
def service_pods(folder: Path) -> Iterator[ServicePods]:
    """Start cluster and database in a folder that other accounts can enter, with secrets and without the service."""
    with (
        running_kubelet(folder / "kubernetes", ACCOUNT) as cluster,
        running_server("listen_addresses=0.0.0.0", "fsync=off", in_memory=True) as database,
    ):
        passwords = _prepare_database(database)
        (folder / "operator").mkdir()
        files = OperatorFiles(folder / "operator", GATEWAY, database.port, passwords)
        files.write()
        cluster.create("/api/v1/namespaces", _NAMESPACE)
        for name, data in files.secrets().items():
            secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": data}
            cluster.create(path_of(secret), secret)
        wait_until(lambda: cluster.list_objects("serviceaccounts", NAMESPACE), "pods can have a service account")
        yield ServicePods(cluster, database, files)


def _prepare_database(server: Server) -> dict[str, str]:
    """Create the roles and databases of deploy/postgresql, for clients with a password from the network of the pods."""
    rules = server.folder / "data" / "pg_hba.conf"
    with rules.open("a", encoding="ascii") as stream:
        stream.write(f"host all aizen,aizen_owner,aizen_checkpoints {SUBNET} scram-sha-256\n")
    passwords = {name: secrets.token_hex(16) for name in ("aizen", "aizen_owner", "aizen_checkpoints")}
    with psycopg.connect(server.url(), autocommit=True) as conn:
        conn.execute("SELECT pg_reload_conf()")
        conn.execute("CREATE ROLE aizen LOGIN; CREATE ROLE aizen_owner LOGIN")
        conn.execute("CREATE DATABASE aizen OWNER aizen_owner")
        conn.execute("CREATE DATABASE aizen_checkpoints")
    with psycopg.connect(server.url("aizen_checkpoints"), autocommit=True) as conn:
        conn.execute(_CHECKPOINTS.read_bytes())
        for role, password in passwords.items():
            conn.execute(sql.SQL("ALTER ROLE {} PASSWORD {}").format(sql.Identifier(role), password))
    return passwords
