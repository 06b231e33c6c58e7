"""``aizen-hub demo --check``: the main job from end to end, by the roads that people take."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

import click

from aizen_hub.cli.exit_codes import Outcome
from aizen_hub.cli.output import say
from aizen_hub.demo.config import sample_core
from aizen_hub.demo.deployment import Deployment
from aizen_hub.demo.notebook_user import Seat
from aizen_hub.demo.personas import PEOPLE
from aizen_hub.demo.processes import StartFailed, adopt_orphans, left_over
from aizen_hub.demo.scenario import journey
from aizen_hub.demo.step_counter import Tally, expect
from aizen_hub.demo.workspace import DemoFolder
from aizen_hub.problems import Unavailable


def run_check(base: Path) -> int:
    """Run the whole check in a folder of its own, which is removed; returns 0 where nothing failed."""
    if sample_core() is None:
        raise Unavailable("the check needs the sample core", remedy="run it from a clone, with `make demo-check`")
    base.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder = DemoFolder.claim(Path(tempfile.mkdtemp(prefix="check-", dir=base)))
    adopt_orphans()
    tally = Tally()
    deployment = None
    try:
        tally.part("starting")
        deployment = Deployment.start(folder, 0, lambda text: tally.part(f"  {text}"))
        _check(deployment, tally)
    except StartFailed as error:
        say(f"aizen-hub: {error}")
        tally.failed += 1
    finally:
        killed = deployment.stop() if deployment is not None else []
        with tally.step("no process is left behind"):
            expect(not killed, f"had to be killed: {'; '.join(killed)}")
            expect(not left_over(), f"still running: {left_over()}")
        if tally.failed:
            say(f"the logs are in {folder.log}")
            folder.release()
        else:
            folder.remove()
    click.echo(str(tally))
    return Outcome.ERROR if tally.failed else Outcome.DONE


def _check(deployment: Deployment, tally: Tally) -> None:
    seats = {person.name: Seat(deployment.ports.url, person, deployment.passwords[person.name]) for person in PEOPLE}
    click.echo("passwords of this run: " + ", ".join(f"{name} {word}" for name, word in deployment.passwords.items()))
    tally.part("five people sign in")
    _each(tally, seats, "signs in through the form", Seat.sign_in)
    tally.part("five servers start")
    _each(tally, seats, "picks a project, and gets a server and a kernel", Seat.start_server)
    with tally.whole("what follows needs what is missing"):
        journey(deployment, seats, tally)
    tally.part("the end")
    _each(tally, seats, "stops the server", Seat.stop_server)


def _each(tally: Tally, seats: dict[str, Seat], what: str, act: Callable[[Seat], None]) -> None:
    # Side by side, as in life.
    with ThreadPoolExecutor(len(seats)) as pool:
        running = {pool.submit(act, seat): name for name, seat in seats.items()}
        for future in as_completed(running):
            with tally.step(f"{running[future]} {what}"):
                future.result()
