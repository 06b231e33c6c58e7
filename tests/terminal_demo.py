"""The terminal demonstration in ``docs/images``: a refusal, why, a grant for a day, and its end, at a real hub.

``python -m tests.terminal_demo`` starts a hub with two people, runs the commands, and writes what they print as an
asciinema cast (version 2). The last step waits for the end of a grant of a few seconds, which the cast shortens.
"""

from __future__ import annotations

import json
import shlex
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.fixtures.command_line import CommandLine
from tests.fixtures.hub import running_hub

CAST = Path(__file__).parent.parent / "docs" / "images" / "command-line.cast"
WIDTH, HEIGHT = 100, 30
_TYPING, _READING = 0.04, 1.6
_SECONDS = 20
"""How long the last grant lasts: the service has to answer twice meanwhile."""


@dataclass(frozen=True)
class Step:
    """One command: who gives it, and its exit code."""

    who: str
    line: str
    exit: int = 0
    remark: str = ""


STEPS = (
    Step("rita", 'can-i "start training churn" --project churn', 3, "rita reads the project churn; may she train?"),
    Step("rita", 'can-i "start training churn" --project churn --why', 3, "why not, and who can help?"),
    Step("paul", "grant PROJECT_EXECUTOR --to rita --project churn --for 1d --dry-run", 0, "paul leads churn"),
    Step("paul", 'grant PROJECT_EXECUTOR --to rita --project churn --for 1d --reason "the Friday report"'),
    Step("rita", 'can-i "start training churn" --project churn', 0, "the next command of rita is decided anew"),
    Step("rita", "whoami -o table"),
    Step("paul", f"grant PROJECT_EXECUTOR --to rita --project churn --for {_SECONDS}s", 0, "and now for a moment only"),
    Step("rita", 'can-i "start training churn" --project churn', 3, "it ends by itself"),
)


def seed(tx: Any) -> None:
    """Create the project with its admin and a reader."""
    from aizen_hub.accounts.projects import lifecycle
    from aizen_hub.accounts.roles import assignments
    from aizen_hub.rbac.identity import Identity

    lifecycle.create_project(tx, "churn", owner=Identity.user("paul"))
    assignments.grant_roles(tx, ["PROJECT_READER"], "churn", Identity.user("rita"))


def play(run: CommandLine) -> Iterator[tuple[float, str]]:
    """Yield the events of the cast: seconds, and what appears.

    Raises
    ------
    AssertionError
        A command ends otherwise than the step says.
    """
    clock = 0.5
    for step in STEPS:
        if step is STEPS[-1]:
            time.sleep(_SECONDS)
        if step.remark:
            yield clock, f"\x1b[2m# {step.remark}\x1b[0m\r\n"
            clock += _READING / 2
        yield clock, f"\x1b[1;32m{step.who}\x1b[0m$ "
        for character in f"aizen-hub {step.line}":
            clock += _TYPING
            yield clock, character
        answer = run(step.who, *shlex.split(step.line))
        assert answer.returncode == step.exit, (step.line, answer)
        clock += _READING / 4
        shown = (answer.stdout + answer.stderr).replace(run.hub.url, "https://hub.example.org")
        yield clock, "\r\n" + shown.replace("\n", "\r\n")
        clock += _READING


def main() -> None:
    """Write the cast."""
    accounts = {"paul": "", "rita": ""}
    with (
        tempfile.TemporaryDirectory() as folder,
        running_hub(Path(folder), {}, accounts=accounts, seed=seed) as hub,
    ):
        events = list(play(CommandLine(hub)))
    header = {"version": 2, "width": WIDTH, "height": HEIGHT, "title": "aizen-hub: a refusal, why, a grant for a day"}
    lines = [header, *([round(at, 3), "o", text] for at, text in events)]
    CAST.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines), encoding="utf-8")


if __name__ == "__main__":
    main()
