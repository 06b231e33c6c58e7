"""Memory and cores of a server: what the roles of its session allow, over all that is configured or chosen."""

from __future__ import annotations

from typing import Any

from jupyterhub.traitlets import ByteSpecification

_MEMORY = ("mem_limit", "mem_guarantee")
_CPU = ("cpu_limit", "cpu_guarantee")
_NAMES = _MEMORY + _CPU


class ResourceLimits:
    """The ceilings of one spawner.

    A profile, a hook, the options of a user or the overrides of a group can set the limits of a spawner after its
    session was opened, some of them within its ``start``. So the ceilings are applied at every change of these traits.
    A guarantee above its ceiling is lowered with the limit: Kubernetes refuses a pod that requests more than its limit.

    Attributes
    ----------
    memory : int or None
        Bytes; None where no role sets a limit.
    cpu : float or None
        Cores.
    """

    def __init__(self, spawner: Any) -> None:
        self._spawner = spawner
        self._configured = {name: getattr(spawner, name) for name in _NAMES}
        self.memory: int | None = None
        self.cpu: float | None = None
        spawner.observe(self._on_change, names=list(_NAMES))

    def set_ceilings(self, memory: float | None, cpu: float | None) -> None:
        """Apply the ceilings of a new start, which begins with the configured values and not with those of the last."""
        self.memory, self.cpu = (None if memory is None else int(memory)), (None if cpu is None else float(cpu))
        for name, value in self._configured.items():
            setattr(self._spawner, name, value)
            self._apply(name)

    def sets_memory_alone(self) -> bool:
        """Whether the only limit of memory is that of a role."""
        return self.memory is not None and not self._configured["mem_limit"]

    def sets_cpu_alone(self) -> bool:
        """Whether the only limit of cores is that of a role."""
        return self.cpu is not None and not self._configured["cpu_limit"]

    def _on_change(self, change: Any) -> None:
        self._apply(change.name)

    def _apply(self, name: str) -> None:
        ceiling = self.memory if name in _MEMORY else self.cpu
        if ceiling is None:
            return
        value = to_number(getattr(self._spawner, name))
        # None and 0 mean no limit for a limit, and nothing for a guarantee.
        if value > ceiling or (not value and name.endswith("_limit")):
            setattr(self._spawner, name, ceiling)


def to_number(value: Any) -> float:
    """Return an amount as a number, 0 for none; DockerSpawner keeps texts such as ``2G``, which a function returned."""
    return float((ByteSpecification().validate(None, value) if isinstance(value, str) else value) or 0)
