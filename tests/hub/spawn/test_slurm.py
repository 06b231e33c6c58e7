"""The script and the commands of a job, without Slurm; tests/engines has the real one."""

from __future__ import annotations

import os
import pwd
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from jupyterhub.spawner import SpawnException
from traitlets import TraitError
from traitlets.config import Config

from aizen_hub.hub.spawn.slurm import AizenSlurmSpawner

TOKEN = "0123456789abcdef0123456789abcdef"
OWN_ACCOUNT = pwd.getpwuid(os.geteuid()).pw_name


@pytest.fixture
def spawner(tmp_path: Path) -> Callable[..., AizenSlurmSpawner]:
    """Create a spawner that runs the commands of Slurm under our own account; `sbatch` stores what it gets."""

    def create(submit: str = "cat > script; env > environment; echo 7", **configured: Any) -> AizenSlurmSpawner:
        config = Config()
        config.AizenSlurmSpawner.update(configured)
        made = AizenSlurmSpawner(config=config)
        made.user = SimpleNamespace(name=OWN_ACCOUNT)
        made.exec_prefix = "env"
        made.req_homedir = str(tmp_path)
        made.batch_submit_cmd = f"sh -c 'cd {tmp_path}; {submit}'"
        made.batch_cancel_cmd = "true"
        made.batch_query_cmd = "true"
        made.api_token = TOKEN
        made.user_options = {"project": "churn"}
        made.environment = {"AIZEN_URL": "http://127.0.0.1:9", "AIZEN_TOKEN": "a.b.c", "MINE": "with space"}
        made.env_keep = ["PATH"]
        made.get_env = lambda: _without_hub(made)
        return made

    return create


def _without_hub(spawner: AizenSlurmSpawner) -> dict[str, str]:
    """Return what `get_env` returns; the real one asks the hub for its address and the OAuth client of the server."""
    from aizen_hub.hub.spawn.server_tokens import remove_tokens

    environment = {"PATH": os.environ["PATH"], **spawner.environment, "JUPYTERHUB_API_TOKEN": TOKEN}
    remove_tokens(environment)
    return environment


def options(folder: Path) -> set[str]:
    lines = (folder / "script").read_text().splitlines()
    return {line.removeprefix("#SBATCH --") for line in lines if line.startswith("#SBATCH")}


async def test_the_job_reads_its_token_from_a_private_file(
    tmp_path: Path, spawner: Callable[..., AizenSlurmSpawner]
) -> None:
    server = spawner()
    assert await server.submit_batch_script() == "7"
    (file,) = (tmp_path / ".aizen").iterdir()
    assert (file.read_text(), file.stat().st_mode & 0o777) == (TOKEN, 0o600)
    stored = (tmp_path / "script").read_text() + (tmp_path / "environment").read_text()
    assert TOKEN not in stored
    assert "a.b.c" not in stored
    assert "MINE=with space" in stored
    await server.stop(now=True)
    assert list((tmp_path / ".aizen").iterdir()) == []


async def test_the_state_of_the_hub_names_the_file_of_a_waiting_job(
    tmp_path: Path, spawner: Callable[..., AizenSlurmSpawner]
) -> None:
    server = spawner()
    await server.submit_batch_script()
    state = server.get_state()
    assert TOKEN not in str(state)
    restarted = spawner()
    restarted.load_state(state)
    await restarted.stop(now=True)
    assert list((tmp_path / ".aizen").iterdir()) == []


async def test_a_job_that_is_not_accepted_leaves_no_token(
    tmp_path: Path, spawner: Callable[..., AizenSlurmSpawner]
) -> None:
    server = spawner("echo Invalid account at node-1:6817 >&2; exit 1")
    with pytest.raises(SpawnException, match=r"The job was not accepted\. Ask the operator of the cluster") as error:
        await server.submit_batch_script()
    assert "node-1" not in error.value.message
    assert list((tmp_path / ".aizen").iterdir()) == []


async def test_what_a_project_requests(tmp_path: Path, spawner: Callable[..., AizenSlurmSpawner]) -> None:
    projects = {
        "churn": {"account": "team-{project}", "qos": "high", "partition": "gpu"},
        "*": {"account": "others"},
        "": {"account": "none"},
    }
    for project, account in (("churn", "team-churn"), ("vision", "others"), ("", "none")):
        server = spawner(projects=projects, req_partition="main", req_memory="4G")
        server.user_options = {"project": project}
        server.mem_limit = 2**30
        await server.submit_batch_script()
        assert {f"account={account}", "mem=1024M"} <= options(tmp_path)
        assert ("qos=high" in options(tmp_path)) is (project == "churn")
        assert ("partition=gpu" if project == "churn" else "partition=main") in options(tmp_path)
        await server.remove_token_file()
    server = spawner(projects={"churn": {}})
    server.user_options = {"project": "vision"}
    with pytest.raises(SpawnException, match="The project `vision` has no account on this cluster"):
        await server.submit_batch_script()


def test_a_misspelt_request_of_a_project_is_named(spawner: Callable[..., AizenSlurmSpawner]) -> None:
    with pytest.raises(TraitError, match="`projects` has acount; known are account"):
        spawner(projects={"churn": {"acount": "team"}})


@pytest.mark.proves("R138", "T-58")
async def test_options_of_the_user_choose_no_account_and_run_nothing(
    tmp_path: Path, spawner: Callable[..., AizenSlurmSpawner]
) -> None:
    server = spawner(projects={"churn": {"account": "team", "partition": "main"}}, req_prologue="echo hello")
    server.mem_limit = 2**30
    hostile = {"account": "other", "qos": "other", "prologue": "id", "options": "--uid=0", "cmd": "id", "keepvars": "X"}
    server.user_options = {"project": "churn", "partition": ["gpu"], "memory": "64G", **hostile}
    await server.submit_batch_script()
    assert {"account=team", "partition=gpu", "mem=1024M"} <= options(tmp_path)
    script = (tmp_path / "script").read_text()
    assert "other" not in script
    assert "--uid" not in script
    assert "echo hello\n" in script
    await server.remove_token_file()
    server = spawner()
    server.user_options = {"project": "churn", "memory": "1G\n#SBATCH --account=other"}
    with pytest.raises(SpawnException, match="memory"):
        await server.submit_batch_script()


async def test_commands_do_not_inherit_the_environment_of_the_hub(
    spawner: Callable[..., AizenSlurmSpawner], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONFIGPROXY_AUTH_TOKEN", "secret of the hub")
    assert "secret of the hub" not in await spawner().run_command("env")


async def test_every_argument_is_one_word(tmp_path: Path, spawner: Callable[..., AizenSlurmSpawner]) -> None:
    server = spawner("cat > script; echo 7", batchspawner_singleuser_cmd="printf '%s\\n'")
    server.cmd, server.args = ["server"], ["--option={'a': 1}", "$(id)"]
    await server.submit_batch_script()
    output = await server.run_command(f"bash {tmp_path}/script")
    assert output.splitlines() == ["server", "--option={'a': 1}", "$(id)", "--KernelManager.transport=ipc"]
    assert list((tmp_path / ".aizen").iterdir()) == [], "the job deleted what it read"
