"""What a server looks like on an engine: who runs what, where each token lies, and who could read it."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import click

from aizen_hub.demo.kernel import Kernel
from aizen_hub.demo.step_counter import StepCounter, StepFailedError, expect
from tests.engines import journey
from tests.fixtures.hub import HubHandle


@dataclass(frozen=True)
class RunningEngine:
    """An engine with a hub.

    Attributes
    ----------
    uids : set of int
        The accounts under which servers run.
    describe : callable
        Returns everything that the engine shows of its servers; empty where none runs.
    folder : Path
        Where hub, service and engine store what they store.
    shown_by : str
        The command that shows it, and who may run it.
    """

    hub: HubHandle
    person: str
    owner: str
    uids: set[int]
    describe: Callable[[], str]
    folder: Path
    shown_by: str


@contextmanager
def slurm_engine() -> Iterator[RunningEngine]:
    from tests.engines.slurm_hub import create_accounts, open_folder, slurm_hub

    with open_folder() as folder:
        person, owner = create_accounts(folder, "erin", "maker")
        with slurm_hub(folder, person, owner) as (hub, cluster):

            def describe() -> str:
                jobs = cluster.run("squeue", "--noheader", "--format=%i").split()
                return "\n".join(
                    cluster.run("scontrol", "show", "job", job)
                    + cluster.run("scontrol", "write", "batch_script", job, "-")
                    for job in jobs
                )

            shown_by = "`scontrol show job` (every account), `scontrol write batch_script` (owner, administrators)"
            yield RunningEngine(hub, person.name, owner.name, {person.uid, owner.uid}, describe, folder, shown_by)


@contextmanager
def docker_engine() -> Iterator[RunningEngine]:
    from tests.engines.docker_hub import SERVER_UID, docker_hub

    with (
        tempfile.TemporaryDirectory(prefix="az-", dir="/tmp") as name,
        docker_hub(Path(name), "erin", "maker") as (hub, daemon),
    ):
        shown_by = "`docker inspect` (everyone who may use the daemon's socket)"
        yield RunningEngine(
            hub,
            "erin",
            "maker",
            {SERVER_UID},
            lambda: "\n".join(json.dumps(container) for container in daemon.containers()),
            Path(name),
            shown_by,
        )


@contextmanager
def kubernetes_engine() -> Iterator[RunningEngine]:
    from tests.engines.kubernetes_hub import kubernetes_hub
    from tests.engines.slurm_hub import open_folder
    from tests.fixtures.accounts import free_uids

    with open_folder() as folder:
        (uid,) = free_uids(1)
        with kubernetes_hub(folder, uid, "erin", "maker") as (hub, cluster):
            shown_by = "`kubectl get pod -o yaml` (everyone who may read pods; Secrets are a right of their own)"

            def describe() -> str:
                return "\n".join(json.dumps(pod) for pod in cluster.list_objects("pods"))

            yield RunningEngine(hub, "erin", "maker", {uid}, describe, folder, shown_by)


def demonstrate(engine: RunningEngine, steps: StepCounter) -> None:
    """Sign two people in, run commands, show the tokens, and stop the servers."""
    for name, refused in ((engine.person, True), (engine.owner, False)):
        with _step(steps, f"{name} signs in, and a server starts for `{journey.PROJECT}`"):
            browser = engine.hub.login(name)
            home = browser.spawn(journey.PROJECT, seconds=journey.START_SECONDS)
        with Kernel(browser, home) as kernel:
            with _step(steps, f"{name}: `{journey.ALLOWED}` is allowed"):
                journey.check_allowed(kernel)
            if refused:
                with _step(steps, f"{name}: `{journey.REFUSED}` is refused, with the role that would allow it"):
                    journey.check_refused(kernel)
            environ = journey.environment_in(kernel)
        _show_tokens(engine, steps, environ)
        with _step(steps, f"the server of {name} stops, and nothing of it is left"):
            browser.stop(seconds=journey.WAIT_SECONDS)
            journey.wait_until(lambda: not engine.describe(), "the engine shows no server")
            token = environ["JUPYTERHUB_API_TOKEN"]
            expect(not journey.find_in_processes(token, set()), "a process has the token")
            expect(not journey.find_secret([engine.folder], token), "a file holds the token")


def _show_tokens(engine: RunningEngine, steps: StepCounter, environ: dict[str, str]) -> None:
    token = environ["JUPYTERHUB_API_TOKEN"]
    with _step(steps, "the role token: not in the environment, since the kernel obtains it with the hub token"):
        expect("AIZEN_TOKEN" not in environ, "it is in the environment of the kernel")
    with _step(steps, f"the hub token: not in what the engine shows: {engine.shown_by}"):
        expect(engine.describe(), "the engine shows no server")
        expect(token not in engine.describe(), "it is shown")
    with _step(steps, "the hub token: in the environment of processes of the server's own account only"):
        found = journey.find_in_processes(token, engine.uids)
        expect(not found, f"it is in {found}")
    files = journey.find_secret([engine.folder], token)
    for path in files:
        status = Path(path).stat()
        with _step(
            steps, f"the hub token: in a file of uid {status.st_uid}, mode {status.st_mode & 0o777:04o}: {path}"
        ):
            expect(status.st_uid in engine.uids and not status.st_mode & 0o077, "others can read it")
    if not files:
        click.echo("              and in no file of the hub, the service, the engine or the user")


@contextmanager
def _step(steps: StepCounter, description: str) -> Iterator[None]:
    with steps.step(description):
        try:
            yield
        except StepFailedError:
            raise
        except AssertionError as error:
            raise StepFailedError(str(error)) from None
