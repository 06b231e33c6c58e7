"""Checks of machines with several accounts: what each can see of the notebooks of others (R35)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from aizen_hub.diagnosis.check_result import CheckResult, in_hub_config
from aizen_hub.settings import Settings

MOUNTINFO = Path("/proc/self/mountinfo")
_HIDDEN = re.compile(r"\bhidepid=(1|2|4|noaccess|invisible|ptraceable)\b")
_OTHER_HOST_SPAWNER = re.compile("systemd|batch|slurm|torque|pbs|condor|lsf|gridengine", re.IGNORECASE)
"""Spawners that use one account per user, on machines that `configure` does not know."""
_WITH_SOCKETS = ("aizen-slurm", "AizenSlurmSpawner")
"""Those that choose sockets for kernels themselves."""


def check_shared_host(hub: Any, settings: Settings) -> Iterator[CheckResult]:
    """Check the configuration in ``jupyterhub_config.py`` and this machine."""
    from aizen_hub.hub.configure import runs_servers_locally

    if settings.insecure_same_uid:
        return
    shares_this_machine = runs_servers_locally(hub)
    if shares_this_machine and (hidden := _hides_processes()) is not None:
        if hidden:
            message = "accounts of this machine cannot see each other's processes"
            yield CheckResult.passed("visible-processes", message)
        else:
            yield CheckResult.warning(
                "visible-processes",
                "/etc/fstab",
                "accounts of this machine can see each other's processes with their arguments",
                "hidepid=2 for /proc; in /etc/fstab: proc /proc proc hidepid=2 0 0",
            )
    spawner_class = hub.JupyterHub.get("spawner_class")
    name = str(getattr(spawner_class, "__name__", spawner_class))
    if (
        not shares_this_machine
        and _OTHER_HOST_SPAWNER.search(name)
        and name.rpartition(".")[2] not in _WITH_SOCKETS
        and not _sets_transport(hub, name.rpartition(".")[2])
    ):
        yield CheckResult.warning(
            "kernel-traffic",
            in_hub_config("c.Spawner.args"),
            f"kernels of `{name[:80]}` use unencrypted TCP: other accounts of their machine can read the traffic",
            'c.Spawner.args = ["--KernelManager.transport=ipc"]',
        )


def _hides_processes() -> bool | None:
    """Return whether /proc shows each account its own processes only; None if unknown."""
    try:
        lines = MOUNTINFO.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return None
    mounts = [line for line in lines if line.split()[4:5] == ["/proc"]]
    return bool(_HIDDEN.search(mounts[-1])) if mounts else None


def _sets_transport(hub: Any, name: str) -> bool:
    arguments = [*_list(hub.Spawner.get("args")), *_list(hub.get(name, {}).get("args"))]
    return any("transport" in str(argument) for argument in arguments)


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
