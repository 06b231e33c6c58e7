"""Spawners of Slurm, Docker and Kubernetes that would show the tokens of servers, or ignore the limits of roles."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from aizen_hub.hub.violation import Violation
from aizen_hub.settings import Settings


class Engine(NamedTuple):
    """A class of another package, and ours that is derived from it; both by name, since packages may be missing."""

    base: str
    ours: str
    spawner_class: str
    shows: str


ENGINES: Final = (
    Engine(
        "SlurmSpawner",
        "AizenSlurmSpawner",
        "aizen-slurm",
        "leaves the tokens of servers in the state of Slurm's controller, and requests `req_memory` and `req_nprocs` "
        "whatever the limits of roles are",
    ),
    Engine("DockerSpawner", "AizenDockerSpawner", "aizen-docker", "shows the tokens of servers in `docker inspect`"),
    Engine("KubeSpawner", "AizenKubeSpawner", "aizen-kubernetes", "shows the tokens of servers in their pods"),
)


def check_engine(app: Any, settings: Settings) -> Iterator[Violation]:
    """Yield what the spawner of the hub does not protect."""
    spawner_class = app.spawner_class
    bases = {base.__name__ for base in spawner_class.mro()}
    for engine in ENGINES:
        if engine.base in bases and engine.ours not in bases:
            yield Violation(
                "JupyterHub.spawner_class",
                f"`{spawner_class.__name__}` {engine.shows}",
                f'set it to "{engine.spawner_class}", or derive it from `{engine.ours}`',
                fatal=False,
            )
    if settings.pod_identity is not None and "AizenKubeSpawner" not in bases:
        yield Violation(
            "JupyterHub.spawner_class",
            f"the servers of `{spawner_class.__name__}` have no token of a pod, so with `pod_identity` of aizen.yaml "
            "the service would refuse every command",
            'set it to "aizen-kubernetes", or remove `pod_identity` on both sides',
        )
    if "BatchSpawnerBase" in bases and "SlurmSpawner" not in bases:
        yield Violation(
            "JupyterHub.spawner_class",
            f"`{spawner_class.__name__}` requests `req_memory` and `req_nprocs` from its batch system, where the "
            "limits `memory` and `cpu` of roles do not apply, and leaves the tokens of servers there",
            "set those two, and keep the jobs of a user from all others",
            fatal=False,
        )
    if "DockerSpawner" in bases and not _removes_containers(app, "AizenDockerSpawner" in bases):
        yield Violation(
            "DockerSpawner.remove", "a stopped container would start again with its old token", "set it to True", False
        )


def _removes_containers(app: Any, default: bool) -> bool:
    for base in app.spawner_class.mro():  # the section of the most derived class counts
        values = app.config.get(base.__name__) or {}
        if "remove" in values:
            return bool(values["remove"])
    return default
