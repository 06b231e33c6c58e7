"""A real Slurm with batchspawner's SlurmSpawner: servers are jobs under the accounts of their users."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from aizen_hub.demo.browser import Browser, SpawnRejectedError
from aizen_hub.demo.kernel import Kernel
from tests.engines import journey
from tests.engines.slurm_hub import create_accounts, open_folder, slurm_hub
from tests.fixtures.accounts import Account
from tests.fixtures.engines.slurm import SlurmCluster
from tests.fixtures.hub import HubHandle

pytestmark = [pytest.mark.needs("slurm"), pytest.mark.slow]


@dataclass
class SlurmHub:
    hub: HubHandle
    cluster: SlurmCluster
    account: Account
    person: Browser

    def job(self) -> str:
        """Return what Slurm tells of the only running job, empty if there is none."""
        job = self.cluster.run("squeue", "--noheader", "--format=%i", "--states=running").strip()
        return self.cluster.run("scontrol", "show", "job", job) if job else ""

    def token_files(self) -> list[Path]:
        return list((self.account.home / ".aizen").glob("hub-token-*"))


@pytest.fixture(scope="module")
def slurm() -> Iterator[SlurmHub]:
    with open_folder() as folder:
        person, owner = create_accounts(folder, "erin", "maker")
        with slurm_hub(folder, person, owner) as (hub, cluster):
            yield SlurmHub(hub, cluster, person, hub.login(person.name))


@pytest.fixture
def home(slurm: SlurmHub) -> str:
    """A running server for the project, the same for several tests."""
    if slurm.person.server() is None:
        slurm.person.spawn(journey.PROJECT, seconds=journey.START_SECONDS)
    return f"/user/{slurm.account.name}/"


@pytest.mark.proves("R139")
def test_a_job_has_the_account_of_its_project_and_the_limits_of_its_roles(slurm: SlurmHub, home: str) -> None:
    job = slurm.job()
    assert f"UserId={slurm.account.name}(" in job
    assert "Account=team-churn" in job
    assert "Partition=gpu" in job
    assert "MinMemoryNode=600M" in job, "the role's limit, below the configured 2G"
    assert "CPUs/Task=1" in job, "1.5 cores are one whole core, below the configured 2"
    assert "TimeLimit=02:00:00" in job
    assert "Requeue=0" in job
    with Kernel(slurm.person, home) as kernel:
        journey.check_commands(kernel)
        assert kernel.execute("import os; print(os.getuid())").stream.strip() == str(slurm.account.uid)


@pytest.mark.proves("T-10", "T-59", "R35", "R140")
def test_nothing_that_slurm_stores_or_shows_holds_a_token(slurm: SlurmHub, home: str) -> None:
    with Kernel(slurm.person, home) as kernel:
        environ = journey.environment_in(kernel)
        connection = kernel.execute("import ipykernel; print(ipykernel.get_connection_file())").stream.strip()
        transport = kernel.execute("import ipykernel; print(ipykernel.get_connection_info())").stream
    token = environ["JUPYTERHUB_API_TOKEN"]
    assert len(token) == 32
    assert "AIZEN_TOKEN" not in environ
    assert '"transport": "ipc"' in transport
    assert not connection.startswith(str(slurm.account.home)), "a shared file system takes no sockets"
    assert "AIZEN_PROJECT=churn" in Path(f"/proc/{_server_pid(slurm)}/environ").read_text(), (
        "what is not secret is there"
    )
    assert journey.find_secret([slurm.hub.folder], token) == []
    assert journey.find_in_processes(token, {slurm.account.uid}) == []
    script = slurm.cluster.run("scontrol", "write", "batch_script", slurm.job().split()[0].partition("=")[2], "-")
    assert "hub-token-" in script
    assert token not in script
    assert token not in slurm.job()
    assert slurm.token_files() == [], "the job deleted what it read"


def test_a_server_survives_a_restart_of_the_hub_and_leaves_nothing(slurm: SlurmHub, home: str) -> None:
    with Kernel(slurm.person, home) as kernel:
        environ = journey.environment_in(kernel)
    slurm.hub.kill()
    slurm.hub.restart()
    assert slurm.person.server() is not None
    with Kernel(slurm.person, home) as kernel:
        assert journey.environment_in(kernel)["JUPYTERHUB_API_TOKEN"] == environ["JUPYTERHUB_API_TOKEN"]
        journey.check_commands(kernel)
    slurm.person.stop(seconds=journey.WAIT_SECONDS)
    journey.wait_until(lambda: slurm.job() == "", "the job ends")
    assert slurm.token_files() == []
    # A job that is completing is not running, and has processes for a moment.
    token = environ["JUPYTERHUB_API_TOKEN"]
    journey.wait_until(lambda: journey.find_in_processes(token, set()) == [], "its processes end")


def test_a_project_without_an_account_cannot_start(slurm: SlurmHub) -> None:
    with pytest.raises(SpawnRejectedError, match=r"The project `?elsewhere`? has no account on this cluster"):
        slurm.person.spawn("elsewhere", seconds=journey.START_SECONDS)
    assert slurm.token_files() == []


@pytest.mark.proves("R48")
def test_a_revoked_role_counts_at_once_and_a_lock_ends_the_job(slurm: SlurmHub, home: str) -> None:
    with Kernel(slurm.person, home) as kernel:
        journey.check_revocation(slurm.hub, slurm.account.name, kernel, slurm.job)
    assert slurm.token_files() == []


def _server_pid(slurm: SlurmHub) -> str:
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has ended in between
            command = (process / "cmdline").read_bytes()
            if process.stat().st_uid == slurm.account.uid and b"jupyterhub-singleuser" in command:
                return process.name
    raise AssertionError("no server runs under the account")
