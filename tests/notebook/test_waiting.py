"""Waiting for a service: what only reads is sent again, a line says what is waited for, strict cells stop."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nbformat
import pytest
from IPython.utils.capture import capture_output
from nbclient import NotebookClient as NotebookExecutor
from nbclient.exceptions import CellExecutionError

from aizen_hub.notebook import command_runner
from aizen_hub.notebook.display import progress as progress_module
from aizen_hub.notebook.display.result import CommandResult
from tests.notebook.service_double import ServiceDouble, deny_with, respond_with

TABLE = {"kind": "table", "message": "", "columns": ["name"], "rows": [["churn"]], "data": {}}


def run(shell: Any, text: str) -> tuple[Any, Any]:
    with capture_output() as captured:
        done = shell.run_cell(text)
    return done, captured


def unavailable_at_first(times: int, status: int = 503, **more: str) -> Any:
    left = [times]

    def script(handler: Any, body: dict[str, Any]) -> Any:
        if left[0]:
            left[0] -= 1
            handler.problem(status, title="The service cannot decide", detail="it is starting", **more)
            return None
        return respond_with(TABLE)(handler, body)

    return script


def test_what_only_reads_is_sent_again(shell: Any, double: ServiceDouble, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command_runner, "_RETRY_PAUSES", (0.05,))
    run(shell, "%aizen help")
    double.scripts["list trainings"] = unavailable_at_first(3)
    done, _ = run(shell, "list trainings")
    assert isinstance(done.result, CommandResult)
    assert len(double.commands) == 4
    double.commands.clear()
    double.scripts["delete training churn"] = unavailable_at_first(1)
    done, _ = run(shell, "delete training churn")
    assert "it is starting" in done.result.text()
    assert len(double.commands) == 1, "a change is never repeated by itself"


def test_a_fault_that_stays_is_said_at_once(shell: Any, double: ServiceDouble, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command_runner, "_RETRY_PAUSES", (0.05,))
    run(shell, "%aizen help")
    document = {"title": "The core did not execute this", "detail": "no core is configured", "core": "none"}
    double.scripts["list trainings"] = lambda handler, body: handler.problem(502, **document)
    done, _ = run(shell, "list trainings")
    assert "no core is configured" in done.result.text()
    assert len(double.commands) == 1
    double.commands.clear()
    double.scripts["list trainings"] = unavailable_at_first(1, 502, core="down")
    done, _ = run(shell, "list trainings")
    assert isinstance(done.result, CommandResult), "a platform that restarts is waited for"
    assert len(double.commands) == 2


def test_it_gives_up(shell: Any, double: ServiceDouble, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command_runner, "_RETRY_PAUSES", (0.05,))
    monkeypatch.setattr(command_runner, "RETRY_SECONDS", 0.3)
    run(shell, "%aizen help")
    double.scripts["list trainings"] = unavailable_at_first(10_000)
    done, _ = run(shell, "list trainings")
    assert "it is starting" in done.result.text()
    assert 2 <= len(double.commands) < 20


def test_a_line_says_what_is_waited_for(shell: Any, double: ServiceDouble, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress_module, "WAITING_SECONDS", 0.2)
    monkeypatch.setattr(command_runner, "_RETRY_PAUSES", (1.5,))
    run(shell, "%aizen help")
    double.scripts["list trainings"] = unavailable_at_first(1)
    done, captured = run(shell, "list trainings")
    assert isinstance(done.result, CommandResult)
    assert "it is starting; trying again, interrupt the cell to stop" in captured.stdout


def test_a_hint_follows_a_word_that_python_takes(shell: Any, double: ServiceDouble) -> None:
    run(shell, "%aizen help")
    for word in ("help", "plot", "loader"):
        shell.user_ns.pop(word, None)
        _, captured = run(shell, word)
        assert captured.stdout.splitlines()[-1] == f"aizen: `{word}` is Python here; the command is %aizen {word}"
    _, captured = run(shell, "len")
    assert "aizen:" not in captured.stdout


@pytest.mark.slow
def test_nbconvert_stops_at_a_strict_cell(
    double: ServiceDouble, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A notebook that is executed as a whole by a real kernel ends with the refused cell."""
    for name, value in double.environment(IPYTHONDIR=str(tmp_path)).items():
        monkeypatch.setenv(name, value)
    double.scripts |= {"list projects": respond_with(TABLE), "start training churn": deny_with(detail="not for bob")}
    cells = ["%load_ext aizen_hub.notebook", "%aizen start training churn", "%%aizen --strict\nlist projects", "1 + 1"]
    cells += ["%%aizen --strict\nstart training churn", "print('reached')"]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    with pytest.raises(CellExecutionError, match="not for bob"):
        NotebookExecutor(notebook, timeout=120, kernel_name="python3").execute(cwd=str(tmp_path))
    assert [len(cell.outputs) for cell in notebook.cells] == [0, 1, 1, 1, 1, 0]
