"""The doctor on a machine with accounts: whether they see each other's processes, and hear each other's kernels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from traitlets.config import Config

from aizen_hub.cli.doctor import shared_host as host
from aizen_hub.settings import Settings

OTHERS = "21 27 0:20 / /sys rw,hidepid=2 - sysfs sysfs rw\n"
PLAIN = OTHERS + "22 27 0:21 / /proc rw,relatime - proc proc rw\n"
HIDDEN = OTHERS + "22 27 0:21 / /proc rw,relatime - proc proc rw,gid=4,hidepid={}\n"


def look(spawner: Any, *, same_uid: bool = False, args: list[str] | None = None) -> list[str]:
    hub = Config()
    if spawner is not None:
        hub.JupyterHub.spawner_class = spawner
    if args is not None:
        hub.Spawner.args = args
    settings = Settings.model_construct(insecure_same_uid=same_uid)
    found = list(host.look(hub, settings))
    assert all(one.remedy or one.level == "ok" for one in found)
    return [one.level for one in found]


@pytest.mark.proves("T-10")
@pytest.mark.parametrize("spawner", [None, "localprocess", "jupyterhub.spawner.LocalProcessSpawner"])
@pytest.mark.parametrize(
    ("mounts", "level"),
    [
        (PLAIN, "warn"),
        (HIDDEN.format("0"), "warn"),
        (HIDDEN.format("off"), "warn"),
        *((HIDDEN.format(one), "ok") for one in ("1", "2", "4", "noaccess", "invisible", "ptraceable")),
        (HIDDEN.format("2") + PLAIN, "warn"),
    ],
)
def test_processes_that_everybody_sees(
    spawner: str | None, mounts: str, level: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mountinfo").write_text(mounts)
    monkeypatch.setattr(host, "PROC", tmp_path / "mountinfo")
    assert look(spawner) == [level]
    assert look(spawner, same_uid=True) == [], "one account for all is another matter"
    assert look("kubespawner.KubeSpawner") == []


def test_a_system_without_proc_is_not_judged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "PROC", tmp_path / "none")
    assert look("localprocess") == []


@pytest.mark.parametrize("spawner", ["systemdspawner.SystemdSpawner", "batchspawner.SlurmSpawner", "systemd"])
def test_kernels_that_talk_in_clear_where_others_listen(spawner: str) -> None:
    assert look(spawner) == ["warn"]
    assert look(spawner, args=["--KernelManager.transport=ipc"]) == []
    assert look(spawner, args=["--debug"]) == ["warn"]
