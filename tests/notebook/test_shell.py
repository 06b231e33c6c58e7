"""Magics, plain text, progress and completion in a real IPython shell."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from IPython.core.completer import CompletionContext, provisionalcompleter
from IPython.utils.capture import capture_output

from aizen_hub.notebook import client as client_module
from aizen_hub.notebook.client import Client
from aizen_hub.notebook.completion import make_matcher
from aizen_hub.notebook.console import Console, LeftRunning
from aizen_hub.notebook.display import Notice, Refusal, Result
from aizen_hub.notebook.errors import AizenDenied
from aizen_hub.notebook.extension import unload_ipython_extension
from tests.notebook.service_double import Double, answers, decision, denies, role_token, streams

TABLE = {"kind": "table", "message": "", "columns": ["name"], "rows": [["churn"]], "data": {}}
DENIED = denies(
    detail="bob may not start training", who_can_grant=["alice"],
    decision=decision(False, reason="no-assignment", sentence="bob may not execute:training", role="PROJECT_EXECUTOR"),
)  # fmt: skip


def run(shell: Any, text: str) -> tuple[Any, Any]:
    with capture_output() as captured:
        done = shell.run_cell(text)
    return done, captured


def test_plain_text_is_a_command_from_the_first_cell_on(shell: Any, double: Double) -> None:
    double.scripts["list projects"] = answers(TABLE)
    for _ in range(2):
        done, _ = run(shell, "list projects")
        assert done.success
        assert isinstance(done.result, Result)
        assert done.result.rows == (("churn",),)
    assert double.catalog_asked == 1
    assert double.commands == [{"text": "list projects"}] * 2


def test_text_reaches_the_service_as_it_was_typed(shell: Any, double: Double) -> None:
    text = """configure training churn note="{x} $HOME \\n ' %s" """.strip()
    double.scripts[text] = answers({"kind": "message", "message": "ok"})
    shell.user_ns["x"] = "expanded"
    run(shell, text)
    run(shell, f"%aizen {text}")
    assert [one["text"] for one in double.commands] == [text, text]


def test_python_stays_python(shell: Any, double: Double) -> None:
    run(shell, "list projects")
    double.commands.clear()
    done, _ = run(shell, "list = 3\nprojects = list\nprojects")
    assert done.result == 3
    done, _ = run(shell, "import asyncio\nawait asyncio.sleep(0)")
    assert done.success
    assert double.commands == []


def test_a_syntax_error_stays_a_syntax_error(shell: Any, double: Double) -> None:
    for _ in range(2):  # before and after the catalog is known
        done, captured = run(shell, "hello my world")
        assert not done.success
        assert "SyntaxError" in captured.stdout
        assert "hello my world" in captured.stdout
        assert "aizen" not in captured.stdout.lower()
        run(shell, "list projects")
    assert [one["text"] for one in double.commands] == ["list projects"] * 2


@pytest.mark.proves("T-02")
def test_the_denial_is_the_services_with_or_without_our_magic(shell: Any, double: Double) -> None:
    double.scripts["start training churn"] = DENIED
    done, captured = run(shell, "start training churn")
    assert done.success, "a denial is an answer, not an error"
    assert isinstance(done.result, Refusal)
    assert done.result.role == "PROJECT_EXECUTOR"
    assert "Traceback" not in captured.stdout + captured.stderr
    client = shell._aizen_extension.console.client
    unload_ipython_extension(shell)
    with pytest.raises(Exception, match="bob may not start training"):
        list(client.run("start training churn"))
    assert len(double.commands) == 2


def test_near_misses_are_answered_without_the_service(shell: Any, double: Double) -> None:
    for _ in range(2):
        done, _ = run(shell, "strat training churn")
        assert isinstance(done.result, Notice)
        assert "Did you mean: start training churn" in done.result.text()
    done, _ = run(shell, "start everything now")
    assert "training" in done.result.text()
    assert double.commands == []


def test_several_commands_run_in_turn_and_stop_at_a_refusal(shell: Any, double: Double) -> None:
    double.scripts |= {"list projects": answers(TABLE), "start training churn": DENIED}
    done, captured = run(shell, "list projects\n# then\nstart training churn\n\nlist projects\nlist projects\n")
    assert [one["text"] for one in double.commands] == ["list projects", "start training churn"]
    assert len(captured.outputs) == 2, "the last one shown is the value of the cell"
    assert "2 of 4" in done.result.text()


def test_strict_mode_raises_what_would_be_shown(shell: Any, double: Double) -> None:
    double.scripts |= {"list projects": answers(TABLE), "start training churn": DENIED}
    done, captured = run(shell, "%%aizen --strict\nlist projects\nstart training churn\nlist projects")
    assert isinstance(done.error_in_exec, AizenDenied)
    assert "bob may not execute:training" in captured.stdout
    assert "Traceback" not in captured.stdout
    assert "1 commands after it were not run" in captured.stdout
    done, _ = run(shell, "%aizen --strict start training churn")
    assert isinstance(done.error_in_exec, AizenDenied)
    done, _ = run(shell, "%aizen --strict list projects")
    assert done.success


def test_off_and_on(shell: Any, double: Double) -> None:
    double.scripts["list projects"] = answers(TABLE)
    run(shell, "%aizen off")
    done, captured = run(shell, "list projects")
    assert not done.success
    assert "SyntaxError" in captured.stdout
    done, _ = run(shell, "%aizen list projects")
    assert isinstance(done.result, Result)
    run(shell, "%aizen on")
    done, _ = run(shell, "list projects")
    assert isinstance(done.result, Result)


def test_the_value_of_a_magic_can_be_kept(shell: Any, double: Double) -> None:
    double.scripts["list projects"] = answers(TABLE)
    run(shell, "found = %aizen list projects")
    assert shell.user_ns["found"].records == [{"name": "churn"}]


def test_who_am_i_and_help(shell: Any, double: Double) -> None:
    done, _ = run(shell, "%aizen")
    assert "bob in project `churn`" in done.result.text()
    assert done.result.rows == (("PROJECT_READER", "churn", []),)
    done, _ = run(shell, "%aizen help start")
    assert {row[0].split()[0] for row in done.result.rows} == {"start"}
    done, _ = run(shell, "%%aizen nonsense\nlist projects")
    assert "takes nothing but" in done.result.text()
    assert double.commands == []


def test_help_for_a_command(shell: Any, double: Double) -> None:
    run(shell, "%aizen help")
    for text in ("start training?", "?start training", "start training churn??"):
        done, _ = run(shell, text)
        assert [row[0] for row in done.result.rows] == ["start training"]
    done, _ = run(shell, "%aizen help strat training")
    assert "did you mean: start training" in done.result.text()
    done, _ = run(shell, "%aizen --help")
    assert "%aizen?" in done.result.text()
    shell.user_ns["plot"] = 3
    done, _ = run(shell, "plot?")
    assert done.result is None, "one word is a Python name, and IPython's to explain"
    assert double.commands == []


def test_asking_for_a_role(shell: Any, double: Double) -> None:
    for text in (
        "PROJECT_EXECUTOR because I train models", "PROJECT_READER in p2", "PROJECT_CREATOR", "PROJECT_ADMIN in p2 why",
    ):  # fmt: skip
        done, _ = run(shell, f"%aizen ask {text}")
        assert isinstance(done.result, Result)
        assert "asked for" in done.result.text()
    assert double.requests == [
        {"role": "PROJECT_EXECUTOR", "scope": "churn", "reason": "because I train models"},
        {"role": "PROJECT_READER", "scope": "p2", "reason": ""},
        {"role": "PROJECT_CREATOR", "scope": "system", "reason": ""},
        {"role": "PROJECT_ADMIN", "scope": "p2", "reason": "why"},
    ]
    done, _ = run(shell, "%aizen ask NONE")
    assert "there is no role `NONE`" in done.result.text()
    done, _ = run(shell, "%aizen ask")
    assert "which role" in done.result.text()


@pytest.mark.parametrize(
    ("cell", "says"),
    [
        ("x = 1\nlist trainings", "written: %aizen list trainings"),
        ("list trainings\nprint(1)", "written: %aizen list trainings"),
        ("for x in range(3):\n    start training churn", "written: %aizen start training churn"),
        ("found = list trainings", "found = %aizen list trainings"),
        ("list projects;", "takes no `;`: list projects"),
        ("print 'hello'", None),
        ("x = (", None),
        ("%matplotlib nothing\nx y z", None),
    ],
)
def test_a_command_among_python_is_answered_with_how_it_is_written(
    shell: Any, double: Double, cell: str, says: str | None
) -> None:
    run(shell, "%aizen help")
    done, captured = run(shell, cell)
    assert not done.success
    assert "SyntaxError" in captured.stdout, "Python's own words come first"
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
    assert "nothing was carried out" in done.result.text()
    assert "Traceback" not in captured.stdout


def test_a_sealed_service_is_told(shell: Any, double: Double) -> None:
    double.catalog_status = 503
    done, _ = run(shell, "start training churn")
    assert "starting" in done.result.text()


def test_a_stream_has_one_bar_and_a_result(shell: Any, double: Double) -> None:
    events: list[Any] = []
    for part in range(1, 11):
        events += [{"event": "progress", "fraction": part / 10, "message": f"epoch {part} of 10"}, 0.05]
    double.scripts["start training churn"] = streams(
        *events, {"event": "log", "line": "loss 0.4"}, {"event": "end", "state": "done", "result": TABLE, "message": ""}
    )
    console: Console = shell._aizen_extension.console
    console._rich = True
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
    [("failed", "this sample core does not carry out it"), ("stopped", "it was stopped"), ("unknown", "")],
)
def test_an_end_that_is_not_done_is_said(shell: Any, double: Double, state: str, message: str) -> None:
    double.scripts["start training churn"] = streams(
        {"event": "end", "state": state, "result": None, "message": message}
    )
    done, _ = run(shell, "start training churn")
    assert done.result.state == state
    assert not done.result.ok
    assert state in done.result.text()
    assert message in done.result.text()


def test_a_broken_stream_is_told(shell: Any, double: Double, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "_ASK_PAUSE", 0.01)
    monkeypatch.setattr(client_module, "RETURN_SECONDS", 0.1)
    double.states = [503]
    double.scripts["start training churn"] = streams({"event": "progress", "fraction": 0.1, "message": ""}, end=False)
    run(shell, "%aizen help")
    done, _ = run(shell, "start training churn")
    assert isinstance(done.result, Notice)
    assert "`status training churn` shows it" in done.result.text()
    assert "may not have been carried out" not in done.result.text(), "it was: its decision had come"


@pytest.fixture
def hears_interrupts() -> Iterator[None]:
    """A test run in the background ignores them."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_an_interrupt_leaves_the_job(shell: Any, double: Double, hears_interrupts: None) -> None:
    double.scripts["start training churn"] = streams({"event": "progress", "fraction": 0.1, "message": ""}, 10.0)
    run(shell, "%aizen help")
    timer = threading.Timer(0.5, lambda: os.kill(os.getpid(), signal.SIGINT))
    timer.start()
    began = time.monotonic()
    done, captured = run(shell, "start training churn")
    assert time.monotonic() - began < 5
    assert isinstance(done.error_in_exec, LeftRunning)
    assert "was not stopped and goes on" in captured.stdout
    assert "`stop training churn` ends it" in captured.stdout
    assert "Traceback" not in captured.stdout


def test_setting_the_project_is_seen_in_the_environment(shell: Any, double: Double) -> None:
    result = {"kind": "message", "message": "now in p2", "data": {"renew": True, "project": "p2"}}
    double.scripts["set project p2"] = answers(result)
    run(shell, "set project p2")
    assert os.environ["AIZEN_PROJECT"] == "p2"


def completions(shell: Any, text: str) -> list[str]:
    with provisionalcompleter():
        return [found.text for found in shell.Completer.completions(text, len(text))]


def test_completion_behind_the_magic(shell: Any, double: Double) -> None:
    assert "training" in completions(shell, "%aizen start tr")
    assert completions(shell, "%aizen ask PROJECT_RE") == ["PROJECT_READER"]
    assert set(completions(shell, "%aizen list data-")) >= {"data-quality", "data-drift"}
    assert "start" in completions(shell, "%aizen sta")
    assert "off" in completions(shell, "%aizen of")
    assert completions(shell, "%aizen start tr") == ["training"], "nothing of Python's in between"
    assert double.catalog_asked == 1


def test_completion_in_plain_text(shell: Any, double: Double) -> None:
    assert "training" not in completions(shell, "start tr"), "the catalog is not fetched for Python's completions"
    assert double.catalog_asked == 0
    completions(shell, "%aizen ")
    assert completions(shell, "start tr") == ["training"]
    assert "PROJECT_READER" in completions(shell, "grant role PROJECT_R")
    assert any(word.endswith("PROJECT_READER") for word in completions(shell, "grant role PROJECT_ADMIN,PROJECT_R"))
    assert "dataclasses" in completions(shell, "import da"), "Python's modules stay on offer"
    shell.user_ns["training_set"] = 1
    assert "training_set" in completions(shell, "training_s")
    assert "training_set" in completions(shell, "x = training_s")


def test_an_unreachable_service_is_asked_once_for_completions(double: Double, monkeypatch: pytest.MonkeyPatch) -> None:
    double.catalog_status = 503
    matcher = make_matcher(Console(Client.from_environment(double.environment())))
    for _ in range(5):
        context = CompletionContext(token="s", full_text="%aizen s", cursor_position=8, cursor_line=0, limit=None)
        assert matcher(context)["completions"] == []
    assert double.catalog_asked == 1


def test_loading_twice_installs_once_and_unloading_removes_all(shell: Any, double: Double) -> None:
    before = len(shell.input_transformers_cleanup)
    shell.run_line_magic("reload_ext", "aizen_hub.notebook")
    assert len(shell.input_transformers_cleanup) == before
    shell.run_line_magic("unload_ext", "aizen_hub.notebook")
    assert len(shell.input_transformers_cleanup) == before - 1
    assert shell.find_line_magic("aizen") is None
    assert shell.find_cell_magic("aizen") is None
    done, _ = run(shell, "list projects")
    assert not done.success


def test_without_an_address_one_line_is_said(bare_shell: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AIZEN_URL", raising=False)
    with capture_output() as captured:
        bare_shell.run_line_magic("load_ext", "aizen_hub.notebook")
    assert len(captured.stdout.splitlines()) == 1
    assert bare_shell.find_line_magic("aizen") is None


def test_whether_a_cell_is_complete_is_answered_without_the_service(shell: Any, double: Double) -> None:
    assert shell.check_complete("start training churn")[0] == "complete"
    assert shell.check_complete("for x in range(3):")[0] == "incomplete"
    assert double.catalog_asked == 0
    assert double.commands == []
