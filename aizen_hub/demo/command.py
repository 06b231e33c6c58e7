"""The command itself: start, show who is who, wait for Ctrl-C."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

import click
from rich.table import Table
from rich.text import Text

from aizen_hub.cli.exit_codes import Outcome
from aizen_hub.cli.output import console, say
from aizen_hub.problems import Unavailable

NEEDED = ("configurable_http_proxy", "ipykernel", "jupyterlab", "psutil")


@click.command()
@click.option(
    "--port", type=click.IntRange(1, 65535), help="The port to open in the browser (default: 8000 or a free one)."
)
@click.option(
    "--folder",
    type=click.Path(path_type=Path, file_okay=False),
    default=".aizen-demo",
    show_default=True,
    help="Where everything is written.",
)
@click.option("--reset", is_flag=True, help="Remove what earlier runs left, homes included, and make new passwords.")
@click.option(
    "--check", is_flag=True, help="Walk through the demo by itself, in data of its own, and count what works."
)
def demo(port: int | None, folder: Path, reset: bool, check: bool) -> int:
    """Start a hub with five ready accounts on this machine, until Ctrl-C.

    It needs no Node, no root and no directory server, and writes only into its folder. The passwords are printed once,
    when the accounts are made; a later run takes the data up again. A second demo beside the first uses other ports and
    data.

    All user servers run under your own account and could read the service's keys: this is for trying out.
    """
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise Unavailable(f"not installed: {', '.join(missing)}", remedy="pip install 'aizen-hub[demo]'")
    if os.geteuid() == 0:
        say("warning: running as root, so user servers get --allow-root and run as root; an ordinary account is enough")
    if check:
        from aizen_hub.demo.check import run_check

        with ended_by_signals():
            return run_check(folder)
    return run_demo(folder, port, reset)


def run_demo(base: Path, port: int | None, reset: bool) -> int:
    from aizen_hub.demo.deployment import Deployment
    from aizen_hub.demo.processes import StartFailed, adopt_orphans
    from aizen_hub.demo.workspace import DemoFolder, FolderTaken

    try:
        folder = DemoFolder.claim(base)
    except FolderTaken as error:
        raise Unavailable(str(error)) from None
    if reset or not folder.seeded.exists():
        # Data of a first start that did not come to its end is of no use either.
        folder.empty()
    adopt_orphans()
    with ended_by_signals():
        deployment = None
        try:
            deployment = Deployment.start(folder, port, say)
            show(deployment)
            while True:
                time.sleep(0.5)
                deployment.processes.check()
        except StartFailed as error:
            say(f"aizen-hub: {error}")
            return Outcome.ERROR
        except KeyboardInterrupt:
            say("\nstopping")
            return Outcome.DONE
        finally:
            if deployment is not None:
                deployment.stop()
            folder.release()


def show(deployment: object) -> None:
    """Print the address and the five persons."""
    from aizen_hub.demo.deployment import Deployment
    from aizen_hub.demo.personas import PEOPLE

    assert isinstance(deployment, Deployment)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("NAME", "PASSWORD", "ROLE", "PICK", "ALLOWED, TRY", "REFUSED, TRY"):
        table.add_column(column, overflow="fold", no_wrap=column in ("NAME", "PASSWORD"))
    for person in PEOPLE:
        password = deployment.passwords.get(person.name, "as at first")
        place = person.project or "No project"
        table.add_row(
            *(Text(one) for one in (person.name, password, person.role, place, person.allowed, person.refused))
        )
    out = console()
    out.print()
    out.print(table)
    out.print()
    if not deployment.passwords:
        out.print("The accounts are those of an earlier run; --reset makes new ones.", markup=False)
    out.print(
        f"Open {deployment.ports.url}, sign in, pick the project, open a notebook, and type a command into a cell.",
        markup=False,
    )
    out.print(
        "As paul:  grant role PROJECT_EXECUTOR to rita   and rita's next `start training churn` works.", markup=False
    )
    out.print("To be two people at once, use a private window for the second. Ctrl-C stops everything.", markup=False)
    sys.stdout.flush()


@contextlib.contextmanager
def ended_by_signals() -> Iterator[None]:
    """Let a terminal that closes, or `kill`, end the demo as Ctrl-C does."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
