"""What people do with the command line at a real hub and service: each task is one command or two."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.fixtures.command_line import CommandLine
from tests.fixtures.hub import running_hub

TASKS: list[dict[str, Any]] = yaml.safe_load(
    Path(__file__).with_name("command_line_tasks.yaml").read_text(encoding="utf-8")
)
PEOPLE = "login,name,email\nnora,Nora,\nolga,Olga Berg,olga@example.org\npete,Pete,\n"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CommandLine]:
    def seed(tx: Any) -> None:
        from aizen_hub.accounts.projects import lifecycle
        from aizen_hub.accounts.roles import assignments
        from aizen_hub.rbac.identity import Identity

        lifecycle.create_project(tx, "churn", owner=Identity.user("lead"))
        assignments.grant_roles(tx, ["PROJECT_CREATOR"], "system", Identity.user("carl"))

    accounts = {"ada": "AIZEN_ADMIN", "carl": "AIZEN_ADMIN", "lead": "", "rita": "", "sam": ""}
    with running_hub(tmp_path_factory.mktemp("tasks"), {}, accounts=accounts, seed=seed) as hub:
        yield CommandLine(hub)


def test_the_table_has_tasks_of_one_command_or_two() -> None:
    assert len(TASKS) >= 25
    assert len({task["task"] for task in TASKS}) == len(TASKS)
    assert all(1 <= len(task["run"]) <= 2 for task in TASKS)


def test_each_task_is_done(run: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One test, because each task goes on from what the earlier ones did; every failure is reported."""
    monkeypatch.chdir(tmp_path)
    Path("people.csv").write_text(PEOPLE)
    failures = [failure for task in TASKS if (failure := _do(run, task)) is not None]
    assert not failures, "\n\n".join(failures)


def _do(run: CommandLine, task: dict[str, Any]) -> str | None:
    """Carry out one task; return what went wrong, or None."""
    kept: dict[str, str] = {}
    answers = []
    for line in task["run"]:
        answer = run(task["who"], *shlex.split(line.format(**kept)))
        answers.append(answer)
        if line is not task["run"][-1] and answer.returncode != 0:
            return f"{task['task']}: `{line}` ends with {answer.returncode}: {answer.stderr}"
        if "saves" in task and len(answers) == 1:
            Path(task["saves"]).write_text(answer.stdout)
        for name, pattern in task.get("keeps", {}).items():
            if len(answers) == 1:
                found = re.search(pattern, answer.stdout, re.MULTILINE)
                if found is None:
                    return f"{task['task']}: `{line}` shows no {name}: {answer.stdout}"
                kept[name] = found[1]
    last = answers[-1]
    shown = last.stdout + last.stderr
    missing = [pattern for pattern in task["shows"] if not re.search(pattern, shown, re.MULTILINE)]
    if last.returncode != task.get("exit", 0) or missing:
        return f"{task['task']}: exit {last.returncode}, without {missing}:\n{shown}"
    return None
