"""Machines that people share: what their accounts see of each other's notebooks (R35)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from aizen_hub.cli.doctor.finding import Finding
from aizen_hub.settings import Settings

PROC = Path("/proc/self/mountinfo")
_HIDDEN = re.compile(r"\bhidepid=(1|2|4|noaccess|invisible|ptraceable)\b")
_ELSEWHERE = re.compile("systemd|batch|slurm|torque|pbs|condor|lsf|gridengine", re.IGNORECASE)
"""Spawners under accounts of their own of which `configure` does not know what machine they use."""


def look(hub: Any, settings: Settings) -> Iterator[Finding]:
    """Look at what ``jupyterhub_config.py`` has set, and at this machine."""
    from aizen_hub.hub.configure import shares_machine

    if settings.insecure_same_uid:
        return
    here = shares_machine(hub)
    if here and (hidden := _hides_processes()) is not None:
        if hidden:
            yield Finding("ok", "accounts of this machine do not see each other's processes")
        else:
            yield Finding(
                "warn",
                "accounts of this machine see each other's processes with their arguments",
                "hidepid=2 for /proc; in /etc/fstab: proc /proc proc hidepid=2 0 0",
            )
    kind = hub.JupyterHub.get("spawner_class")
    name = str(getattr(kind, "__name__", kind))
    if not here and _ELSEWHERE.search(name) and not _transport(hub, name.rpartition(".")[2]):
        yield Finding(
            "warn",
            f"kernels of `{name[:80]}` listen on TCP and talk in clear: other accounts of their machine can listen",
            'c.Spawner.args = ["--KernelManager.transport=ipc"]',
        )


def _hides_processes() -> bool | None:
    """Say whether /proc shows everybody their own processes only; None where that is not known."""
    try:
        lines = PROC.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return None
    mounts = [line for line in lines if line.split()[4:5] == ["/proc"]]
    return bool(_HIDDEN.search(mounts[-1])) if mounts else None


def _transport(hub: Any, name: str) -> bool:
    given = [*_list(hub.Spawner.get("args")), *_list(hub.get(name, {}).get("args"))]
    return any("transport" in str(one) for one in given)


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
