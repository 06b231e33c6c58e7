"""A real scheduler, kubelet and containerd with KubeSpawner: user servers are containers.

Their image has no Python: they see that of this machine in read-only volumes. What the API server alone decides is
tested in test_kubernetes.py, whose pods are processes.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from aizen_hub.demo.kernel import Kernel
from tests.engines import journey
from tests.engines.given_cluster_hub import check_given_cluster, given_cluster_hub
from tests.engines.kubernetes_hub import PROJECT_NAMESPACE, KubernetesHub, kubelet_hub
from tests.engines.slurm_hub import open_folder
from tests.fixtures.accounts import free_uids
from tests.fixtures.engines.kubelet import GATEWAY
from tests.fixtures.engines.server_image import IMAGE

pytestmark = [pytest.mark.needs("kubelet"), pytest.mark.slow]

PERSON = "erin"
CONTROL_GROUPS = Path("/sys/fs/cgroup")
SHOW_FILES = """
import json, os, stat
shown = {}
for name in ("TOKEN", "POD_TOKEN"):
    path = os.environ[f"AIZEN_{name}_FILE"]
    folder = os.path.dirname(path)
    status = os.stat(path)
    (kind, options), = [line.split()[2:4] for line in open("/proc/mounts") if line.split()[1] == folder]
    shown[name] = {
        "content": open(path).read(), "link": os.readlink(path),
        "is_dated": os.readlink(folder + "/..data").startswith("..20"),
        "owner": status.st_uid, "group": status.st_gid, "mode": oct(status.st_mode & 0o777),
        "mount": [kind, options.split(",")[0]],
    }
print(json.dumps(shown))
"""


@pytest.fixture(scope="module")
def kubernetes() -> Iterator[KubernetesHub]:
    (uid,) = free_uids(1)
    with open_folder() as folder:
        with kubelet_hub(folder, uid, PERSON, "maker") as (hub, cluster):
            yield KubernetesHub(hub, cluster, uid, hub.login(PERSON))
        assert left_on_the_machine(folder, uid) == {"processes": [], "mounts": [], "groups": []}


@pytest.fixture
def home(kubernetes: KubernetesHub) -> str:
    """A running server for the project, the same for several tests."""
    if kubernetes.person.server() is None:
        kubernetes.person.spawn(journey.PROJECT, seconds=journey.START_SECONDS)
    return f"/user/{PERSON}/"


@pytest.mark.proves("R139")
def test_a_container_runs_commands_within_the_limits_of_its_roles(kubernetes: KubernetesHub, home: str) -> None:
    with Kernel(kubernetes.person, home) as kernel:
        journey.check_commands(kernel)
        shown = kernel.execute("import os; print(os.getuid(), os.readlink('/proc/1/ns/pid'))").stream.split()
    first = first_process(kubernetes.uid)
    assert shown == [str(kubernetes.uid), os.readlink(first / "ns" / "pid")]
    assert limits_of(first) == (journey.MEMORY, journey.CORES), "the profile says 8G, and 4 cores"
    left = left_on_the_machine(kubernetes.hub.folder, kubernetes.uid)
    assert all(left.values()), "what the end of this module has to remove"


@pytest.mark.proves("T-10", "T-59", "R35", "R140")
def test_the_kubelet_mounts_the_tokens_and_nothing_shows_them(kubernetes: KubernetesHub, home: str) -> None:
    with Kernel(kubernetes.person, home) as kernel:
        environ = journey.environment_in(kernel)
        files = json.loads(kernel.execute(SHOW_FILES).stream)
    token, role_token = environ["JUPYTERHUB_API_TOKEN"], files["TOKEN"].pop("content")
    pod_token = files["POD_TOKEN"].pop("content")
    as_mounted = {"is_dated": True, "group": kubernetes.uid, "mount": ["tmpfs", "ro"]}
    assert files["TOKEN"] == {"link": "..data/role-token", "owner": 0, "mode": "0o440", **as_mounted}
    assert files["POD_TOKEN"] == {"link": "..data/token", "owner": kubernetes.uid, "mode": "0o640", **as_mounted}
    shown = json.dumps([kubernetes.pods(), kubernetes.cluster.list_objects("events", PROJECT_NAMESPACE)])
    shown += kubernetes.cluster.log() + kubernetes.hub.log
    assert [secret for secret in (token, role_token, pod_token) if secret in shown] == []
    assert "AIZEN_TOKEN" not in environ
    first = (first_process(kubernetes.uid) / "environ").read_bytes()
    assert token.encode() in first, "the hub token is in the environment of its own account"
    assert [secret for secret in (role_token, pod_token) if secret.encode() in first] == []
    assert journey.find_in_processes(token, {kubernetes.uid}) == []
    folder = kubernetes.hub.folder
    assert journey.find_secret([folder], pod_token) == [], "the kubelet has it in memory"
    stored = journey.find_secret([folder], role_token)
    assert all(path.startswith(f"{kubernetes.cluster.folder}/etcd/") for path in stored), stored
    found = journey.find_secret([folder], token)
    assert found, "etcd, containerd and the server itself store it"
    assert [path for path in found if journey.may_others_read(Path(path))] == []
    owners = {Path(path).stat().st_uid for path in found}
    assert owners == {0, kubernetes.uid}


@pytest.mark.proves("T-09", "R50")
def test_a_role_token_counts_only_with_the_token_that_the_kubelet_mounts(kubernetes: KubernetesHub, home: str) -> None:
    with Kernel(kubernetes.person, home) as kernel:
        files = json.loads(kernel.execute(SHOW_FILES).stream)
    role_token, pod_token = (files[name]["content"] for name in ("TOKEN", "POD_TOKEN"))
    assert kubernetes.ask(role_token, pod_token) == (200, None)
    assert kubernetes.ask(role_token, None) == (401, "pod-missing")
    assert kubernetes.ask(role_token, pod_token[:-8] + "AAAAAAAA") == (401, "pod-refused")


@pytest.mark.proves("R35")
def test_a_stopped_server_leaves_nothing_on_its_node(kubernetes: KubernetesHub, home: str) -> None:
    (pod,) = kubernetes.pods()
    uid = pod["metadata"]["uid"]
    with Kernel(kubernetes.person, home) as kernel:
        token = journey.environment_in(kernel)["JUPYTERHUB_API_TOKEN"]
    kubernetes.person.stop(seconds=journey.WAIT_SECONDS)
    journey.wait_until(lambda: not kubernetes.pods(), "the pod ends")
    journey.wait_until(lambda: not kubernetes.secrets(), "the garbage collector deletes the Secret")
    journey.wait_until(lambda: not processes_of(kubernetes.uid), "the container ends")
    journey.wait_until(lambda: not mounts_with(uid), "the kubelet unmounts the volumes")
    journey.wait_until(lambda: not control_groups_with(uid), "the kubelet removes the control groups")
    folder = kubernetes.cluster.folder
    stores = [str(folder / "etcd"), str(folder / "containerd")]  # root's, until they are compacted

    def found() -> list[str]:
        paths = journey.find_secret([kubernetes.hub.folder], token)
        return [path for path in paths if not path.startswith(tuple(stores))]

    journey.wait_until(lambda: not found(), "no other file has the token")


@pytest.mark.proves("R48")
def test_a_revoked_role_counts_at_once_and_a_lock_ends_the_container(kubernetes: KubernetesHub, home: str) -> None:
    with Kernel(kubernetes.person, home) as kernel:
        journey.check_revocation(kubernetes.hub, PERSON, kernel, kubernetes.pods)
    journey.wait_until(lambda: not kubernetes.secrets(), "the garbage collector deletes the Secret")
    journey.wait_until(lambda: not processes_of(kubernetes.uid), "the container ends")


@pytest.mark.proves("T-10", "R35", "R48", "R139", "R140")
def test_a_cluster_that_is_given_by_its_kubeconfig(kubernetes: KubernetesHub) -> None:
    """What `test_given_cluster` does with another cluster, with this one: a hub beside the first."""
    namespaces = "/api/v1/namespaces"
    before = {item["metadata"]["name"] for item in kubernetes.cluster.read(namespaces)["items"]}
    with (
        open_folder() as folder,
        given_cluster_hub(folder, kubernetes.cluster.folder / "admin.conf", IMAGE, GATEWAY) as given,
    ):
        check_given_cluster(given)
    journey.wait_until(
        lambda: {item["metadata"]["name"] for item in kubernetes.cluster.read(namespaces)["items"]} == before,
        "nothing of it is left",
    )


def left_on_the_machine(folder: Path, uid: int) -> dict[str, list[str]]:
    """Return the processes of an account, and the mounts and control groups whose names have that of a folder."""
    processes = [str(process) for process in processes_of(uid)]
    return {"processes": processes, "mounts": mounts_with(folder.name), "groups": control_groups_with(folder.name)}


def processes_of(uid: int) -> list[Path]:
    """Return the processes of an account, in whatever namespace."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has ended
            if process.stat().st_uid == uid:
                found.append(process)
    return found


def mounts_with(text: str) -> list[str]:
    """Return the mounts with a text, in whatever namespace."""
    found: set[str] = set()
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has ended
            found |= {line for line in (process / "mountinfo").read_text().splitlines() if text in line}
    return sorted(found)


def control_groups_with(text: str) -> list[str]:
    return [parent for parent, _folders, _files in os.walk(CONTROL_GROUPS) if text in parent]


def first_process(uid: int) -> Path:
    """Return the process of an account that is the first of its container."""
    (first,) = (process for process in processes_of(uid) if _number_in_namespace(process) == 1)
    return first


def _number_in_namespace(process: Path) -> int:
    (line,) = (line for line in (process / "status").read_text().splitlines() if line.startswith("NSpid:"))
    return int(line.split()[-1])


def limits_of(process: Path) -> tuple[int, float]:
    """Return the bytes and the processors that the control groups of a process allow it."""
    groups = {}
    for line in (process / "cgroup").read_text().splitlines():
        _number, controllers, path = line.split(":", 2)
        for name in controllers.split(","):
            groups[name] = CONTROL_GROUPS / name / path.lstrip("/")
    if "memory" in groups:
        memory = (groups["memory"] / "memory.limit_in_bytes").read_text()
        quota, period = ((groups["cpu"] / f"cpu.cfs_{name}_us").read_text() for name in ("quota", "period"))
    else:
        memory = (groups[""] / "memory.max").read_text()
        quota, period = (groups[""] / "cpu.max").read_text().split()
    return int(memory), int(quota) / int(period)
