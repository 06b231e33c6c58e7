"""Magics, plain text, progress and completion in a real IPython shell."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from IPython.utils.capture import capture_output

from aizen_hub.notebook import client as client_module
from aizen_hub.notebook.client import NotebookClient
from aizen_hub.notebook.command_runner import CommandRunner
from aizen_hub.notebook.display.refusal import Refusal
from aizen_hub.notebook.display.renderable import Notice
from aizen_hub.notebook.display.result import CommandResult
from aizen_hub.notebook.errors import AizenDenied, CommandStillRunning
from aizen_hub.notebook.extension import unload_ipython_extension
from tests.fixtures.timing import within
from tests.notebook.service_double import ServiceDouble, decision, deny_with, respond_with, role_token, stream_events

TABLE = {"kind": "table", "message": "", "columns": ["name"], "rows": [["churn"]], "data": {}}
DENIED = deny_with(
    detail="bob may not start training", who_can_grant=["alice"],
    decision=decision(False, reason="no-assignment", sentence="bob may not execute:training", role="PROJECT_EXECUTOR"),
)  # fmt: skip


def run(shell: Any, text: str) -> tuple[Any, Any]:
    with capture_output() as captured:
        done = shell.run_cell(text)
    return done, captured


def test_plain_text_commands_work_from_the_first_cell_on(shell: Any, double: ServiceDouble) -> None:
    double.scripts["list projects"] = respond_with(TABLE)
    for _ in range(2):
        done, _ = run(shell, "list projects")
        assert done.success
        assert isinstance(done.result, CommandResult)
        assert done.result.rows == (("churn",),)
    assert double.catalog_requests == 1
    assert double.commands == [{"text": "list projects"}] * 2


def test_text_is_sent_unchanged(shell: Any, double: ServiceDouble) -> None:
    text = """configure training churn note="{x} $HOME \\n ' %s" """.strip()
    double.scripts[text] = respond_with({"kind": "message", "message": "ok"})
    shell.user_ns["x"] = "expanded"
    run(shell, text)
    run(shell, f"%aizen {text}")
    assert [command["text"] for command in double.commands] == [text, text]


def test_python_stays_python(shell: Any, double: ServiceDouble) -> None:
    run(shell, "list projects")
    double.commands.clear()
    done, _ = run(shell, "list = 3\nprojects = list\nprojects")
    assert done.result == 3
    done, _ = run(shell, "import asyncio\nawait asyncio.sleep(0)")
    assert done.success
    assert double.commands == []


def test_a_syntax_error_stays_a_syntax_error(shell: Any, double: ServiceDouble) -> None:
    for _ in range(2):  # before and after the catalog is fetched
        done, captured = run(shell, "hello my world")
        assert not done.success
        assert "SyntaxError" in captured.stdout
        assert "hello my world" in captured.stdout
        assert "aizen" not in captured.stdout.lower()
        run(shell, "list projects")
    assert [command["text"] for command in double.commands] == ["list projects"] * 2


@pytest.mark.proves("T-02")
def test_the_service_denies_with_or_without_the_magic(shell: Any, double: ServiceDouble) -> None:
    double.scripts["start training churn"] = DENIED
    done, captured = run(shell, "start training churn")
    assert done.success, "a denial is a result, not an error"
    assert isinstance(done.result, Refusal)
    assert done.result.role == "PROJECT_EXECUTOR"
    assert "Traceback" not in captured.stdout + captured.stderr
    client = shell._aizen_extension.runner.client
    unload_ipython_extension(shell)
    with pytest.raises(Exception, match="bob may not start training"):
        list(client.run("start training churn"))
    assert len(double.commands) == 2


def test_similar_commands_are_suggested_without_the_service(shell: Any, double: ServiceDouble) -> None:
    for _ in range(2):
        done, _ = run(shell, "strat training churn")
        assert isinstance(done.result, Notice)
        assert "Did you mean: start training churn" in done.result.text()
    done, _ = run(shell, "start everything now")
    assert "training" in done.result.text()
    assert double.commands == []


@pytest.mark.proves("R111")
@pytest.mark.parametrize("form", ["{}", "%aizen {}", "result = %aizen {}", "%%aizen\n{}"])
@pytest.mark.parametrize("fetched", [True, False], ids=["catalog known", "catalog unknown"])
@pytest.mark.parametrize("path", ["u.json", "./u.json", "../notes/u.json", "{absolute}", "~/notes/u.json"])
def test_a_users_file_can_be_named_by_any_path(
    shell: Any,
    double: ServiceDouble,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    form: str,
    fetched: bool,
    path: str,
) -> None:
    """The path is relative to the folder of the notebook, and the content is sent, not the path alone."""
    folder = tmp_path / "notes"
    folder.mkdir()
    (folder / "u.json").write_text('[{"id": "bob"}]')
    monkeypatch.chdir(folder)
    monkeypatch.setenv("HOME", str(tmp_path))
    name = path.format(absolute=folder / "u.json")
    command = f"alter users {name}"
    double.scripts[command] = respond_with({"kind": "message", "message": "changed 1 user"})
    if fetched:
        run(shell, "%aizen help")
    done, captured = run(shell, form.format(command))
    assert done.success, captured.stdout
    assert double.commands == [{"text": command, "files": {name: '[{"id": "bob"}]'}}]


def test_several_commands_run_in_turn_and_stop_at_a_refusal(shell: Any, double: ServiceDouble) -> None:
    double.scripts |= {"list projects": respond_with(TABLE), "start training churn": DENIED}
    done, captured = run(shell, "list projects\n# then\nstart training churn\n\nlist projects\nlist projects\n")
    assert [command["text"] for command in double.commands] == ["list projects", "start training churn"]
    assert len(captured.outputs) == 2, "the last output is the value of the cell"
    assert "2 of the 4" in done.result.text()


def test_strict_mode_raises_refusals(shell: Any, double: ServiceDouble) -> None:
    double.scripts |= {"list projects": respond_with(TABLE), "start training churn": DENIED}
    done, captured = run(shell, "%%aizen --strict\nlist projects\nstart training churn\nlist projects")
    assert isinstance(done.error_in_exec, AizenDenied)
    assert "bob may not execute:training" in captured.stdout
    assert "Traceback" not in captured.stdout
    assert "1 of the 3 commands was not run" in captured.stdout
    done, _ = run(shell, "%aizen --strict start training churn")
    assert isinstance(done.error_in_exec, AizenDenied)
    done, _ = run(shell, "%aizen --strict list projects")
    assert done.success


def test_off_and_on(shell: Any, double: ServiceDouble) -> None:
    double.scripts["list projects"] = respond_with(TABLE)
    run(shell, "%aizen off")
    done, captured = run(shell, "list projects")
    assert not done.success
    assert "SyntaxError" in captured.stdout
    done, _ = run(shell, "%aizen list projects")
    assert isinstance(done.result, CommandResult)
    run(shell, "%aizen on")
    done, _ = run(shell, "list projects")
    assert isinstance(done.result, CommandResult)


def test_the_result_of_a_magic_can_be_assigned(shell: Any, double: ServiceDouble) -> None:
    double.scripts["list projects"] = respond_with(TABLE)
    run(shell, "projects = %aizen list projects")
    assert shell.user_ns["projects"].records == [{"name": "churn"}]


def test_identity_and_help(shell: Any, double: ServiceDouble) -> None:
    done, _ = run(shell, "%aizen")
    assert "bob in project `churn`" in done.result.text()
    assert done.result.rows == (("PROJECT_READER", "churn", None, "paul", "effective"),)
    for text in ("whoami", "%whoami"):
        done, _ = run(shell, text)
        assert "bob in project `churn`" in done.result.text()
    shell.user_ns["whoami"] = 3
    assert run(shell, "whoami")[0].result == 3, "a variable of the user's own"
    done, _ = run(shell, "%aizen help start")
    assert {row[0].split()[0] for row in done.result.rows} == {"start"}
    done, _ = run(shell, "%%aizen nonsense\nlist projects")
    assert "accepts only" in done.result.text()
    assert double.commands == []


def test_help_for_a_command(shell: Any, double: ServiceDouble) -> None:
    double.answers["command"] = {
        "usage": "start training [<name>] [key=value …]", "description": "Start a training", "allowed": True,
        "sentence": "fine", "role": "PROJECT_EXECUTOR",
    }  # fmt: skip
    run(shell, "%aizen help")
    for text in ("start training?", "?start training", "start training churn??", "%aizen help start training"):
        done, _ = run(shell, text)
        assert done.result.text().splitlines() == [
            "`start training [<name>] [key=value …]`: Start a training",
            "for example: `start training churn epochs=5`",
            "you may, by the role PROJECT_EXECUTOR",
        ]
    done, _ = run(shell, "%aizen help strat training")
    assert "did you mean: start training" in done.result.text()
    done, _ = run(shell, "%aizen --help")
    assert "%aizen?" in done.result.text()
    shell.user_ns["plot"] = 3
    done, _ = run(shell, "plot?")
    assert done.result is None, "a single word is a Python name, which IPython explains"
    assert double.commands == []


def test_requesting_a_role(shell: Any, double: ServiceDouble) -> None:
    for text in (
        'request PROJECT_EXECUTOR for 4h because "I train models"', "%aizen request PROJECT_READER in p2",
        "request PROJECT_CREATOR", "request PROJECT_ADMIN in p2 because of the migration",
    ):  # fmt: skip
        done, _ = run(shell, text)
        assert isinstance(done.result, CommandResult), done.result
        assert "requested" in done.result.text()
    assert double.requests == [
        {"role": "PROJECT_EXECUTOR", "scope": "churn", "reason": "I train models", "duration": "4h"},
        {"role": "PROJECT_READER", "scope": "p2", "reason": ""},
        {"role": "PROJECT_CREATOR", "scope": "system", "reason": ""},
        {"role": "PROJECT_ADMIN", "scope": "p2", "reason": "of the migration"},
    ]
    double.requests.clear()
    run(shell, "request PROJECT_READER until 2027-01-31")
    assert datetime.fromisoformat(double.requests[0]["until"]) == datetime(2027, 2, 1).astimezone()
    done, _ = run(shell, "request NONE")
    assert "there is no role `NONE`" in done.result.text()
    done, _ = run(shell, "%aizen request")
    assert "which role?" in done.result.text()
    done, _ = run(shell, "%aizen request PROJECT_READER for ever")
    assert "`request PROJECT_READER for ever` cannot be read" in done.result.text()
    done, _ = run(shell, "request PROJECT_READER until soon")
    assert "`soon` is not a day" in done.result.text()


@pytest.mark.parametrize(
    ("cell", "says"),
    [
        ("x = 1\nlist trainings", "write: %aizen list trainings"),
        ("list trainings\nprint(1)", "write: %aizen list trainings"),
        ("for x in range(3):\n    start training churn", "write: %aizen start training churn"),
        ("rows = list trainings", "rows = %aizen list trainings"),
        ("list projects;", "does not end with `;`: list projects"),
        ("print 'hello'", None),
        ("x = (", None),
        ("%matplotlib nothing\nx y z", None),
    ],
)
def test_a_command_among_python_gets_a_hint(shell: Any, double: ServiceDouble, cell: str, says: str | None) -> None:
    run(shell, "%aizen help")
    done, captured = run(shell, cell)
    assert not done.success
    assert "SyntaxError" in captured.stdout, "Python's own message comes first"
    assert ("aizen:" in captured.stdout) == (says is not None)
    assert says is None or says in captured.stdout.splitlines()[-1]
    run(shell, "%aizen off")
    assert "aizen:" not in run(shell, cell)[1].stdout
    assert double.commands == []


def test_an_unreachable_service_is_one_sentence(bare_shell: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIZEN_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("AIZEN_TOKEN", role_token())
    bare_shell.run_line_magic("load_ext", "aizen_hub.notebook")
    done, captured = run(bare_shell, "start training churn")
    assert isinstance(done.result, Notice)
    assert "cannot be reached" in done.result.text()
    assert "invalid syntax" in done.result.text()
    done, captured = run(bare_shell, "%aizen start training churn")
    assert "nothing was executed" in done.result.text()
    assert "Traceback" not in captured.stdout


def test_a_sealed_service_is_reported(shell: Any, double: ServiceDouble) -> None:
    double.catalog_status = 503
    done, _ = run(shell, "start training churn")
    assert "starting" in done.result.text()


def test_a_stream_has_one_bar_and_a_result(shell: Any, double: ServiceDouble) -> None:
    events: list[Any] = []
    for part in range(1, 11):
        events += [{"event": "progress", "fraction": part / 10, "message": f"epoch {part} of 10"}, 0.05]
    double.scripts["start training churn"] = stream_events(
        *events, {"event": "log", "line": "loss 0.4"}, {"event": "end", "state": "done", "result": TABLE, "message": ""}
    )
    runner: CommandRunner = shell._aizen_extension.runner
    runner.rich = True
    done, captured = run(shell, "start training churn")
    assert done.result.rows == (("churn",),)
    assert done.result.log == ("loss 0.4",)
    bars = [output for output in captured.outputs if "epoch" in output.data["text/plain"]]
    assert len(bars) >= 2
    assert [bool(bar.update) for bar in bars] == [False] + [True] * (len(bars) - 1)
    assert len({bar.transient["display_id"] for bar in bars}) == 1
    assert "100%" in bars[-1].data["text/plain"]
    assert len(bars) < 10, "drawn a few times a second"


@pytest.mark.parametrize(
    ("state", "message"),
    [("failed", "this sample core does not support it"), ("stopped", "it was stopped"), ("unknown", "")],
)
def test_an_unsuccessful_end_is_shown(shell: Any, double: ServiceDouble, state: str, message: str) -> None:
    double.scripts["start training churn"] = stream_events(
        {"event": "end", "state": state, "result": None, "message": message}
    )
    done, _ = run(shell, "start training churn")
    assert done.result.state == state
    assert not done.result.ok
    assert state in done.result.text()
    assert message in done.result.text()


def test_a_broken_stream_is_reported(shell: Any, double: ServiceDouble, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "_POLL_SECONDS", 0.01)
    monkeypatch.setattr(client_module, "RECONNECT_SECONDS", 0.1)
    double.states = [503]
    double.scripts["start training churn"] = stream_events(
        {"event": "progress", "fraction": 0.1, "message": ""}, end=False
    )
    run(shell, "%aizen help")
    done, _ = run(shell, "start training churn")
    assert isinstance(done.result, Notice)
    assert "`%aizen attach dddddddd` follows" in done.result.text()
    assert "may not have been executed" not in done.result.text(), "its decision was received"


@pytest.fixture
def default_interrupt_handler() -> Iterator[None]:
    """Restore the handler, since a test run in the background ignores interrupts."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_an_interrupt_does_not_stop_the_job(
    shell: Any, double: ServiceDouble, default_interrupt_handler: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    double.scripts["start training churn"] = stream_events({"event": "progress", "fraction": 0.1, "message": ""}, 60.0)
    run(shell, "%aizen help")
    run_command = NotebookClient.run

    def interrupt_after_progress(client: NotebookClient, *args: Any, **options: Any) -> Iterator[dict[str, Any]]:
        for event in run_command(client, *args, **options):
            yield event
            if event["event"] == "progress":
                threading.Timer(0.2, lambda: os.kill(os.getpid(), signal.SIGINT)).start()

    monkeypatch.setattr(NotebookClient, "run", interrupt_after_progress)
    with within(30):
        done, captured = run(shell, "start training churn")
    assert isinstance(done.error_in_exec, CommandStillRunning)
    assert "`start training churn` goes on as job dddddddd" in captured.stdout
    assert "`%aizen stop dddddddd` stops it" in captured.stdout
    assert "Traceback" not in captured.stdout


def test_setting_the_project_updates_the_environment(shell: Any, double: ServiceDouble) -> None:
    result = {"kind": "message", "message": "now in p2", "data": {"renew": True, "project": "p2"}}
    double.scripts["set project p2"] = respond_with(result)
    run(shell, "set project p2")
    assert os.environ["AIZEN_PROJECT"] == "p2"


def test_loading_twice_installs_once_and_unloading_removes_all(shell: Any, double: ServiceDouble) -> None:
    before = len(shell.input_transformers_cleanup)
    shell.run_line_magic("reload_ext", "aizen_hub.notebook")
    assert len(shell.input_transformers_cleanup) == before
    shell.run_line_magic("unload_ext", "aizen_hub.notebook")
    assert len(shell.input_transformers_cleanup) == before - 1
    assert shell.find_line_magic("aizen") is None
    assert shell.find_cell_magic("aizen") is None
    done, _ = run(shell, "list projects")
    assert not done.success


def test_without_an_address_one_line_is_printed(bare_shell: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AIZEN_URL", raising=False)
    with capture_output() as captured:
        bare_shell.run_line_magic("load_ext", "aizen_hub.notebook")
    assert len(captured.stdout.splitlines()) == 1
    assert bare_shell.find_line_magic("aizen") is None


def test_cell_completeness_is_checked_without_the_service(shell: Any, double: ServiceDouble) -> None:
    assert shell.check_complete("start training churn")[0] == "complete"
    assert shell.check_complete("for x in range(3):")[0] == "incomplete"
    assert double.catalog_requests == 0
    assert double.commands == []
