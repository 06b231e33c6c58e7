"""``aizen-hub doctor`` on a machine with several accounts: visibility of processes and kernel traffic."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from traitlets.config import Config

from aizen_hub.cli.doctor import shared_host
from aizen_hub.settings import Settings

OTHER_MOUNT = "21 27 0:20 / /sys rw,hidepid=2 - sysfs sysfs rw\n"
VISIBLE = OTHER_MOUNT + "22 27 0:21 / /proc rw,relatime - proc proc rw\n"
HIDDEN = OTHER_MOUNT + "22 27 0:21 / /proc rw,relatime - proc proc rw,gid=4,hidepid={}\n"


def run_check(spawner: Any, *, same_uid: bool = False, args: list[str] | None = None) -> list[str]:
    hub = Config()
    if spawner is not None:
        hub.JupyterHub.spawner_class = spawner
    if args is not None:
        hub.Spawner.args = args
    settings = Settings.model_construct(insecure_same_uid=same_uid)
    results = list(shared_host.check_shared_host(hub, settings))
    assert all(result.remedy or result.level == "ok" for result in results)
    return [result.level for result in results]


@pytest.mark.proves("T-10")
@pytest.mark.parametrize("spawner", [None, "localprocess", "jupyterhub.spawner.LocalProcessSpawner"])
@pytest.mark.parametrize(
    ("mounts", "level"),
    [
        (VISIBLE, "warn"),
        (HIDDEN.format("0"), "warn"),
        (HIDDEN.format("off"), "warn"),
        *((HIDDEN.format(value), "ok") for value in ("1", "2", "4", "noaccess", "invisible", "ptraceable")),
        (HIDDEN.format("2") + VISIBLE, "warn"),
    ],
)
def test_visible_processes_are_reported(
    spawner: str | None, mounts: str, level: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mountinfo").write_text(mounts)
    monkeypatch.setattr(shared_host, "MOUNTINFO", tmp_path / "mountinfo")
    assert run_check(spawner) == [level]
    assert run_check(spawner, same_uid=True) == [], "one shared account is reported elsewhere"
    assert run_check("kubespawner.KubeSpawner") == []


def test_a_system_without_proc_is_not_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_host, "MOUNTINFO", tmp_path / "none")
    assert run_check("localprocess") == []


@pytest.mark.parametrize("spawner", ["aizen-slurm", "aizen_hub.hub.spawn.slurm.AizenSlurmSpawner"])
def test_kernels_of_our_own_batch_jobs_use_sockets(spawner: str) -> None:
    assert run_check(spawner) == []


@pytest.mark.parametrize("spawner", ["systemdspawner.SystemdSpawner", "batchspawner.SlurmSpawner", "systemd"])
def test_unencrypted_kernel_traffic_is_reported(spawner: str) -> None:
    assert run_check(spawner) == ["warn"]
    assert run_check(spawner, args=["--KernelManager.transport=ipc"]) == []
    assert run_check(spawner, args=["--debug"]) == ["warn"]
