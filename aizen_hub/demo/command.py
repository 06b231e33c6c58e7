"""The command ``aizen-hub demo``: starts the demo, prints the accounts and waits for Ctrl-C."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shlex
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

import click
from rich.table import Table
from rich.text import Text

from aizen_hub.cli.exit_codes import ExitCode
from aizen_hub.cli.output import show_message
from aizen_hub.cli.terminal_table import create_console
from aizen_hub.problems import Unavailable

if TYPE_CHECKING:
    from aizen_hub.demo.deployment import Deployment

REQUIRED_PACKAGES = ("configurable_http_proxy", "ipykernel", "jupyterlab", "psutil")

DEFAULT_FOLDER = Path(".aizen-demo")


@click.command()
@click.option(
    "--port", type=click.IntRange(1, 65535), help="The port to open in the browser (default: 8000 or a free one)."
)
@click.option(
    "--folder",
    type=click.Path(path_type=Path, file_okay=False),
    default=DEFAULT_FOLDER,
    show_default=True,
    help="Folder for all files of the demo.",
)
@click.option(
    "--reset", is_flag=True, help="Delete the data of earlier runs, including homes, and create new passwords."
)
@click.option("--new-passwords", is_flag=True, help="Keep the data of earlier runs, but create new passwords.")
@click.option(
    "--check",
    is_flag=True,
    help="Run an automatic check of the demo with separate data, and count passed and failed steps.",
)
def demo(port: int | None, folder: Path, reset: bool, new_passwords: bool, check: bool) -> int:
    """Run a demonstration hub with five accounts on this machine, until Ctrl-C.

    It needs no Node, no root privileges and no directory server, and writes only into its folder. The passwords are
    printed once, when they are created; later runs reuse the data. A second demo at the same time uses other ports and
    data.

    All user servers run under your own account and can read the service's keys, and they share an origin with the panel
    (`insecure_same_uid`, `insecure_same_origin`): use it for evaluation only.
    """
    missing = [name for name in REQUIRED_PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise Unavailable(f"not installed: {', '.join(missing)}", remedy="pip install 'aizen-hub[demo]'")
    if os.geteuid() == 0:
        show_message("warning: user servers run as root with --allow-root; the demo does not need root privileges")
    if check:
        from aizen_hub.demo.check import run_check

        with interrupt_on_signals():
            return run_check(folder)
    return run_demo(folder, port, reset, new_passwords)


def run_demo(base: Path, port: int | None, reset: bool, new_passwords: bool) -> int:
    from aizen_hub.demo.deployment import Deployment
    from aizen_hub.demo.processes import StartError, become_subreaper
    from aizen_hub.demo.workspace import Workspace, WorkspaceInUseError

    try:
        folder = Workspace.claim(base)
    except WorkspaceInUseError as error:
        raise Unavailable(str(error)) from None
    if reset or not folder.seeded_marker.exists():
        # Data of an incomplete first start cannot be used.
        folder.empty()
    become_subreaper()
    with interrupt_on_signals():
        deployment = None
        try:
            deployment = Deployment.start(folder, port, show_message, new_passwords=new_passwords)
            show_accounts(deployment)
            while True:
                time.sleep(0.5)
                deployment.processes.check()
        except StartError as error:
            show_message(f"aizen-hub: {error}")
            return ExitCode.ERROR
        except KeyboardInterrupt:
            show_message("\nstopping")
            return ExitCode.DONE
        finally:
            if deployment is not None:
                deployment.stop()
            folder.release()


def show_accounts(deployment: Deployment) -> None:
    """Print the address and the five accounts."""
    from aizen_hub.demo.personas import PERSONAS

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("NAME", "PASSWORD", "ROLE", "PROJECT", "ALLOWED COMMAND", "DENIED COMMAND"):
        table.add_column(column, overflow="fold", no_wrap=column in ("NAME", "PASSWORD"))
    for person in PERSONAS:
        password = deployment.passwords.get(person.name, "(as before)")
        pick = person.project or "No project"
        table.add_row(
            *(
                Text(value)
                for value in (person.name, password, person.role, pick, person.allowed_command, person.denied_command)
            )
        )
    out = create_console()
    out.print()
    out.print(table)
    out.print()
    if not deployment.passwords:
        out.print(
            "The accounts are those of an earlier run, which printed their passwords. To get new passwords, stop the "
            "demo and run:",
            markup=False,
        )
        out.print(f"  {new_passwords_command(deployment.folder.path)}", markup=False, soft_wrap=True)
    out.print(
        f"Open {deployment.ports.url}, sign in, select the project, open a notebook, and run a command in a cell.",
        markup=False,
    )
    out.print(
        "As paul run:  grant role PROJECT_EXECUTOR to rita   and rita's next `start training churn` is allowed.",
        markup=False,
    )
    out.print(
        "A trial only: all servers run under your account (insecure_same_uid) and share the panel's origin: a page "
        "of any user can act as the user who opens it (insecure_same_origin).",
        markup=False,
    )
    out.print("To sign in as a second user, use a private window. Ctrl-C stops the demo.", markup=False)
    sys.stdout.flush()


def new_passwords_command(folder: Path) -> str:
    """Return how to start the demo in a folder with new passwords."""
    if folder == DEFAULT_FOLDER.absolute():
        return "make demo ARGS=--new-passwords   or   aizen-hub demo --new-passwords"
    return f"aizen-hub demo --folder {shlex.quote(str(folder))} --new-passwords"


@contextlib.contextmanager
def interrupt_on_signals() -> Iterator[None]:
    """Handle SIGTERM and SIGHUP like Ctrl-C."""

    def interrupt(_signum: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    previous = {signum: signal.signal(signum, interrupt) for signum in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for signum, handler in previous.items():
            signal.signal(signum, handler)
