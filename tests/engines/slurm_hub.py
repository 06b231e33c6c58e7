"""A hub whose servers are jobs of a real Slurm."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.engines.journey import seed_project
from tests.fixtures.accounts import Account, free_name, free_uids, with_accounts
from tests.fixtures.engines.slurm import SlurmCluster, running_slurm
from tests.fixtures.hub import BIN, HubHandle, running_hub

# There is no sudo on every machine that runs the tests; these commands do the same.
CONFIG = """
c.JupyterHub.spawner_class = "aizen-slurm"
c.JupyterHub.cleanup_servers = False
c.AizenSlurmSpawner.exec_prefix = (
    "setpriv --reuid {{username}} --regid $(id -g {{username}}) --init-groups env SLURM_CONF={configuration}"
)
c.AizenSlurmSpawner.batchspawner_singleuser_cmd = {bin!r} + "/batchspawner-singleuser"
c.AizenSlurmSpawner.req_memory, c.AizenSlurmSpawner.req_nprocs = "2G", "2"
c.AizenSlurmSpawner.projects = {{"churn": {{"account": "team-{{project}}", "partition": "gpu", "runtime": "2:00:00"}}}}
c.Spawner.start_timeout = c.Spawner.http_timeout = 180
"""


@contextmanager
def open_folder() -> Iterator[Path]:
    """Return a new folder that other accounts can read, with a path that is short enough for sockets."""
    folder = Path(tempfile.mkdtemp(prefix="az-", dir="/tmp"))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def create_accounts(folder: Path, *bases: str) -> list[Account]:
    """Return accounts that no one has, with homes of their own in a folder."""
    accounts = [
        Account(name, uid, folder / "homes" / name)
        for name, uid in zip(map(free_name, bases), free_uids(len(bases)), strict=True)
    ]
    for account in accounts:
        account.home.mkdir(parents=True, mode=0o700)
        os.chown(account.home, account.uid, account.uid)
    return accounts


@contextmanager
def slurm_hub(folder: Path, person: Account, owner: Account) -> Iterator[tuple[HubHandle, SlurmCluster]]:
    """Start a cluster and a hub in a folder that other accounts can read, for two people with accounts there."""
    with (
        running_slurm(folder / "slurm", with_accounts(folder, [person, owner])) as cluster,
        running_hub(
            folder,
            {"insecure_same_uid": False},
            accounts={person.name: "", owner.name: "PROJECT_CREATOR"},
            seed=seed_project(person.name, owner.name),
            config=CONFIG.format(configuration=cluster.configuration, bin=str(BIN)),
            wrapper=cluster.wrapper,
        ) as hub,
    ):
        yield hub, cluster
