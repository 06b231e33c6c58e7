"""``aizen-hub demo --check``: the main use cases end to end, through the interfaces that users have."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

import click

from aizen_hub.cli.exit_codes import ExitCode
from aizen_hub.cli.output import show_message
from aizen_hub.demo.config import sample_core
from aizen_hub.demo.deployment import Deployment
from aizen_hub.demo.notebook_user import NotebookUser
from aizen_hub.demo.personas import PERSONAS
from aizen_hub.demo.processes import StartError, become_subreaper, remaining_processes
from aizen_hub.demo.scenario import run_scenario
from aizen_hub.demo.step_counter import StepCounter, expect
from aizen_hub.demo.workspace import Workspace
from aizen_hub.problems import Unavailable


def run_check(base: Path) -> int:
    """Run the check in a temporary folder and return 0 if every step passed."""
    if sample_core() is None:
        raise Unavailable("the check needs the sample core", remedy="run it from a clone, with `make demo-check`")
    base.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder = Workspace.claim(Path(tempfile.mkdtemp(prefix="check-", dir=base)))
    become_subreaper()
    steps = StepCounter()
    deployment = None
    try:
        steps.heading("starting")
        deployment = Deployment.start(folder, 0, lambda text: steps.heading(f"  {text}"))
        _check(deployment, steps)
    except StartError as error:
        show_message(f"aizen-hub: {error}")
        steps.failed += 1
    finally:
        killed = deployment.stop() if deployment is not None else []
        with steps.step("all processes have ended"):
            expect(not killed, f"these had to be killed: {'; '.join(killed)}")
            expect(not remaining_processes(), f"still running: {remaining_processes()}")
        if steps.failed:
            show_message(f"the logs are in {folder.log}")
            folder.release()
        else:
            folder.remove()
    click.echo(str(steps))
    return ExitCode.ERROR if steps.failed else ExitCode.DONE


def _check(deployment: Deployment, steps: StepCounter) -> None:
    users = {
        person.name: NotebookUser(deployment.ports.url, person, deployment.passwords[person.name])
        for person in PERSONAS
    }
    click.echo("passwords of this run: " + ", ".join(f"{name} {word}" for name, word in deployment.passwords.items()))
    steps.heading("five users sign in")
    _for_each_user(steps, users, "signs in through the form", NotebookUser.sign_in)
    steps.heading("five servers start")
    _for_each_user(steps, users, "selects a project and starts a server and a kernel", NotebookUser.start_server)
    with steps.group("the scenario was aborted"):
        run_scenario(deployment, users, steps)
    steps.heading("stopping")
    _for_each_user(steps, users, "stops the server", NotebookUser.stop_server)


def _for_each_user(
    steps: StepCounter, users: dict[str, NotebookUser], description: str, action: Callable[[NotebookUser], None]
) -> None:
    # Concurrently, like real users.
    with ThreadPoolExecutor(len(users)) as pool:
        futures = {pool.submit(action, user): name for name, user in users.items()}
        for future in as_completed(futures):
            with steps.step(f"{futures[future]} {description}"):
                future.result()
