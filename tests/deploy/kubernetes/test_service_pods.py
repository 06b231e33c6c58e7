"""The shipped manifests of the service as real pods, with a real scheduler, kubelet and containerd.

The tests run in the order of the file: the first one migrates the database, the second one starts the service. There is
no kube-proxy: clients choose among the addresses that it would choose among.
"""

from __future__ import annotations

import http.client
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.kubernetes.pod_clients import PodLoad, ask, session_of
from tests.deploy.kubernetes.service_pods import ACCOUNT, PERSON, ServicePods, service_pods
from tests.engines.journey import ALLOWED, PROJECT, REFUSED, wait_until
from tests.engines.slurm_hub import open_folder
from tests.engines.test_kubernetes_kubelet import control_groups_with, mounts_with

pytestmark = [pytest.mark.needs("kubelet", "postgres"), pytest.mark.slow]

REPLICAS = 3
SECRETS = ("hub-secret", "key-encryption-key", "database-password", "checkpoint-password")
REVOCATION = {"roles": ["PROJECT_EXECUTOR"], "scope": PROJECT, "identity": f"user:{PERSON}", "reason": "test"}


@pytest.fixture(scope="module")
def service() -> Iterator[ServicePods]:
    with open_folder() as folder:
        with service_pods(folder) as running:
            yield running
        assert (processes_in(folder.name), mounts_with(folder.name), control_groups_with(folder.name)) == ([], [], [])


@pytest.fixture(scope="module")
def robot(service: ServicePods) -> str:
    """The credential of an administrator of the project; its first use changes the store."""
    return service.change_store()


@pytest.fixture(scope="module")
def hub_secret(service: ServicePods) -> str:
    return service.files.secrets()["aizen-hub"]["hub-secret"].strip()


def test_jobs_migrate_the_database_one_after_the_other(service: ServicePods) -> None:
    """At the first start, as the guide says: the pods of the service wait until the tables are there."""
    service.apply()
    for job in [service.start_migration() for _ in range(2)]:
        service.wait_for_migration(job)


@pytest.mark.proves("R35")
def test_three_pods_are_available_with_the_rights_of_their_manifest_only(service: ServicePods) -> None:
    service.wait_until_rolled_out()
    assert len(set(service.ready_addresses())) == REPLICAS
    processes = processes_in(service.cluster.folder.parent.name, "serve")
    assert len(processes) == REPLICAS
    for process in processes:
        status = dict(line.split(":\t", 1) for line in (process / "status").read_text().splitlines() if ":\t" in line)
        assert status["Uid"].split() == status["Gid"].split() == [str(ACCOUNT)] * 4
        assert {status[name] for name in ("CapEff", "CapPrm", "CapBnd", "CapAmb")} == {f"{0:016x}"}
        assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2"), "a filter of system calls"
        assert "ro" in mount_options(process, "/")
        for folder in ("/var/lib/aizen", "/tmp"):
            assert "rw" in mount_options(process, folder)
        assert not (process / "root/var/run/secrets").exists(), "no token of Kubernetes"
        for name in SECRETS:
            check_secret(process / "root/etc/aizen/secrets", name)
        check_secret(process / "root/etc/aizen/hub", "api-token")
        assert len(list((process / "root/etc/aizen/hub/..data/").iterdir())) == 1, "and nothing else of the hub's"


@pytest.mark.proves("R48", "R109")
def test_a_session_of_one_pod_counts_at_all_and_so_does_its_revocation(
    service: ServicePods, robot: str, hub_secret: str
) -> None:
    addresses = service.ready_addresses()
    status, opened = ask(addresses[0], "POST", "/api/v1/sessions", session_of(PERSON, PROJECT, ""), hub_secret)
    assert status == http.client.CREATED, opened

    def command(address: str, text: str) -> tuple[int, dict[str, Any]]:
        return ask(address, "POST", "/api/v1/commands", {"text": text}, opened["token"])

    for address in addresses:
        status, answer = command(address, ALLOWED)
        assert (status, PROJECT in str(answer)) == (http.client.OK, True), answer
        status, answer = command(address, REFUSED)
        assert (status, "PROJECT_ADMIN" in str(answer)) == (http.client.FORBIDDEN, True), answer
    status, answer = ask(addresses[1], "POST", "/api/v1/assignments/revoke", REVOCATION, robot)
    assert status == http.client.OK, answer
    for address in addresses:
        status, answer = command(address, ALLOWED)
        assert status == http.client.FORBIDDEN, answer
    status, answer = ask(addresses[2], "POST", "/api/v1/assignments", REVOCATION, robot)
    assert status == http.client.CREATED, answer
    assert [command(address, ALLOWED)[0] for address in addresses] == [http.client.OK] * REPLICAS


@pytest.mark.proves("R5", "R102", "R109")
def test_evictions_a_migration_and_a_rolling_restart_fail_no_request(
    service: ServicePods, robot: str, hub_secret: str
) -> None:
    version = service.cluster.read(service.pods_path)["metadata"]["resourceVersion"]
    former = [pod["metadata"]["name"] for pod in service.pods()]
    with PodLoad(service.ready_addresses, hub_secret, PERSON, PROJECT) as load:
        load.wait_for_more(50)
        wait_until(lambda: service.evict(former[0]), "the budget allows one eviction")
        assert not service.evict(former[1]), "and no second one before another pod is ready"
        service.wait_for_migration(service.start_migration())
        service.wait_until_rolled_out()
        load.wait_for_more(50)
        service.restart()
        service.wait_until_rolled_out()
        load.wait_for_more(50)
    print(f"{load.requests} requests, {load.starved} of them without a processor")
    assert load.failures == []
    assert load.starved < load.requests / 20
    remaining = {pod["metadata"]["name"] for pod in service.pods()}
    ended = exit_codes(service.cluster.changes_since(service.pods_path, version))
    assert ended.keys() >= set(former)
    assert not ended.keys() & remaining
    assert len(ended) == REPLICAS + 2, "the three, one after the eviction, and the migration"
    assert set(ended.values()) == {0}, "none was killed at the end of its grace period"


def exit_codes(changes: list[dict[str, Any]]) -> dict[str, int]:
    """Return how the containers ended, by the names of their pods."""
    codes = {}
    for change in changes:
        pod = change["object"]
        for container in pod["status"].get("containerStatuses", []):
            if "terminated" in container["state"]:
                codes[pod["metadata"]["name"]] = container["state"]["terminated"]["exitCode"]
    return codes


def processes_in(group: str, argument: str = "") -> list[Path]:
    """Return the processes in the control groups of a cluster that have an argument."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if group not in (process / "cgroup").read_text():
                continue
            words = (process / "cmdline").read_bytes().split(b"\0")
        except OSError:  # it has ended
            continue
        if not argument or argument.encode() in words:
            found.append(process)
    return found


def mount_options(process: Path, folder: str) -> list[str]:
    """Return the options of what is mounted at a folder of the container of a process."""
    lines = (line.split() for line in (process / "mountinfo").read_text().splitlines())
    return [words[5] for words in lines if words[4] == folder][-1].split(",")


def check_secret(folder: Path, name: str) -> None:
    """Check that a Secret is mounted as the kubelet does it: a link, to a file of root for the group of the pod."""
    assert os.readlink(folder / name) == f"..data/{name}"
    status = (folder / "..data" / name).stat()
    assert (status.st_uid, status.st_gid, oct(status.st_mode & 0o777)) == (0, ACCOUNT, "0o440")
