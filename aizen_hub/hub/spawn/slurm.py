"""Servers as jobs of Slurm, under the account that belongs to their project."""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Mapping
from contextlib import AsyncExitStack
from typing import Any

import batchspawner
from batchspawner.batchspawner import format_template
from jupyterhub.spawner import SpawnException
from traitlets import Dict, TraitError, Unicode, validate

from aizen_hub.hub.spawn.kernel_transport import missing_arguments
from aizen_hub.hub.spawn.server_session import spawn_error
from aizen_hub.hub.spawn.server_tokens import remove_tokens
from aizen_hub.hub.spawn.slurm_script import CHOOSABLE, OPTIONS, SCRIPT, RequestError, bounded_requests

ANY_PROJECT = "*"
_WRITE_FILE = 'umask 077 && mkdir -p "$(dirname {file})" && set -C && cat > {file}'


class AizenSlurmSpawner(batchspawner.SlurmSpawner):
    """The SlurmSpawner of batchspawner, without secrets in the job, and with the limits and the account of its project.

    Slurm stores the environment and the script of a job in the state of its controller. So both hold no token: the hub
    token is written into a file of the user, mode 0600, which the job reads and deletes; kernels obtain their role
    token with it. The commands run in the environment of the server, never in that of the hub.
    """

    projects = Dict(
        {},
        help="""What the servers of each project request: `account`, `partition`, `qos`, `runtime`, `memory`, `nprocs`,
        `gres`, `reservation`, `cluster`. `*` is for all projects that are not named, the empty name for servers without
        a project; `{project}` in a value is the name of the project. Other servers request what `req_…` say, unless
        this is set: then a project that is not in it cannot start.""",
    ).tag(config=True)

    batch_script = Unicode(SCRIPT).tag(config=True)
    token_file = Unicode(help="The file with the hub token of this start, in the home of the user")

    @validate("projects")
    def _validate_projects(self, proposal: Any) -> Any:
        unknown = {name for requests in proposal.value.values() for name in requests} - set(OPTIONS)
        if unknown:
            raise TraitError(f"`projects` has {', '.join(sorted(unknown))}; known are {', '.join(sorted(OPTIONS))}")
        return proposal.value

    def get_env(self) -> dict[str, str]:
        """Return the environment of the job, without tokens."""
        environment: dict[str, str] = super().get_env()
        remove_tokens(environment)
        return environment

    def get_args(self) -> list[str]:
        """Return the arguments of the server, whose kernels listen on sockets and not on the node's network."""
        arguments: list[str] = super().get_args()
        return arguments + missing_arguments(arguments)

    def cmd_formatted_for_batch(self) -> str:
        """Return the command line of the server, each argument as one word of the shell."""
        return f"{self.batchspawner_singleuser_cmd} {shlex.join([*self.cmd, *self.get_args()])}"

    async def run_command(self, cmd: str, input: str | None = None, env: dict[str, str] | None = None) -> str:
        """Run a command of Slurm; without ``env`` in the environment of the server, since the hub's has secrets."""
        output: str = await super().run_command(cmd, input=input, env=self.get_env() if env is None else env)
        return output

    async def submit_batch_script(self) -> str:
        """Submit the job, after its token was written into the user's home.

        Raises
        ------
        SpawnException
            The project has no account on the cluster, a value cannot be requested, or Slurm does not accept the job.
        """
        self._project_requests()  # refused before anything is written
        digest = hashlib.sha256(self.api_token.encode()).hexdigest()[:16]
        self.token_file = f"{self.req_homedir}/.aizen/hub-token-{digest}"
        async with AsyncExitStack() as undo:
            undo.push_async_callback(self.remove_token_file)
            try:
                await self._run_as_user(_WRITE_FILE.format(file=shlex.quote(self.token_file)), self.api_token)
                job: str = await super().submit_batch_script()
            except SpawnException:  # is a RuntimeError, as is the failure of a command
                raise
            except RuntimeError as error:
                self.log.error("the job of `%s` was not submitted: %s", self.user.name, error)
                remedy = "ask the operator of the cluster, who finds the answer of Slurm in the hub's log"
                raise spawn_error("the job was not accepted", "slurm", remedy, status=503) from None
            if job:
                undo.pop_all()
        return job

    async def _get_batch_script(self, **subvars: Any) -> str:
        # The last place where values change. Those of the user stand in `subvars` over the settings: only these count.
        chosen = {name: _only(self.user_options[name]) for name in CHOOSABLE if name in self.user_options}
        values: dict[str, Any] = self.get_req_subvars()
        try:
            requests = bounded_requests(
                {**values, **self._project_requests(), **chosen}, self.mem_limit or None, self.cpu_limit or None
            )
        except RequestError as error:
            raise spawn_error(str(error), "slurm-request", status=400) from None
        values |= {
            **requests,
            "cmd": self.cmd_formatted_for_batch(),
            "keepvars": ",".join(sorted({*self.get_env(), *filter(None, self.req_keepvars_extra.split(","))})),
            "requests": requests,
            "sbatch_options": OPTIONS,
            "token_file": shlex.quote(self.token_file),
        }
        return str(format_template(self.batch_script, **values))

    async def stop(self, now: bool = False) -> None:
        """Cancel the job; one that never ran leaves its token to us."""
        await super().stop(now)
        await self.remove_token_file()

    async def remove_token_file(self) -> None:
        """Remove the file with the hub token, if the job has not done so."""
        if not self.token_file:
            return
        try:
            await self._run_as_user(f"rm -f {shlex.quote(self.token_file)}")
        except RuntimeError as error:
            self.log.error("`%s` was not removed; its token is revoked: %s", self.token_file, error)
        self.token_file = ""

    def get_state(self) -> dict[str, Any]:
        state: dict[str, Any] = super().get_state()
        return {**state, "token_file": self.token_file} if self.token_file else state

    def load_state(self, state: Mapping[str, Any]) -> None:
        super().load_state(state)
        self.token_file = state.get("token_file", "")

    def _project_requests(self) -> dict[str, str]:
        if not self.projects:
            return {}
        project = self.user_options.get("project", "")
        requests = self.projects.get(project, self.projects.get(ANY_PROJECT) if project else None)
        if requests is None:
            what = f"the project `{project}` has no account on this cluster" if project else "choose a project"
            raise spawn_error(what, "slurm-project", "ask the operator of the cluster to add it" if project else None)
        return {name: str(value).replace("{project}", project) for name, value in requests.items()}

    async def _run_as_user(self, script: str, text: str | None = None) -> None:
        prefix = format_template(self.exec_prefix, **self.get_req_subvars())
        await self.run_command(f"{prefix} sh -c {shlex.quote(script)}", input=text)


def _only(value: Any) -> Any:
    return value[0] if isinstance(value, list) and len(value) == 1 else value
