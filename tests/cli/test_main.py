"""The frame of the command line: help, exit codes, where output goes, what a terminal gets to see."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from aizen_hub import problems
from aizen_hub.cli.examples import EXAMPLES
from aizen_hub.cli.exit_codes import Outcome, report
from aizen_hub.cli.main import COMMANDS, cli
from aizen_hub.cli.output import show_result, show_rows
from aizen_hub.problems import Fault, Problem


def run(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", "from aizen_hub.cli.main import main; main()", *arguments],
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def commands() -> list[object]:
    found: list[object] = []

    def visit(command: click.Command, words: tuple[str, ...]) -> None:
        if words:
            found.append(pytest.param(command, id=" ".join(words)))
        if isinstance(command, click.Group):
            context = click.Context(command)
            for name in command.list_commands(context):
                inner = command.get_command(context, name)
                assert inner is not None, name
                visit(inner, (*words, name))

    visit(cli, ())
    return found


@pytest.mark.parametrize("command", commands())
def test_every_command_teaches(command: click.Command) -> None:
    assert command.help, "say what it does"
    for parameter in command.params:
        if isinstance(parameter, click.Option) and parameter.name not in ("help", "scopes"):
            assert parameter.help, f"say what {parameter.opts[0]} does"
    answer = CliRunner().invoke(command, ["--help"])
    assert answer.exit_code == 0
    assert all(len(line) <= 110 for line in answer.output.splitlines())


def leaves() -> dict[str, click.Command]:
    return {one.id: one.values[0] for one in commands() if not isinstance(one.values[0], click.Group)}  # type: ignore[attr-defined]


@pytest.mark.parametrize("words", sorted(leaves()))
def test_every_command_has_an_example_that_parses(words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command = leaves()[words]
    if words not in EXAMPLES:
        assert "xample" in (command.help or "")
        return
    assert EXAMPLES[words] in CliRunner().invoke(command, ["--help"]).output
    arguments = shlex.split(EXAMPLES[words])
    if ">" in arguments:
        arguments = arguments[: arguments.index(">")]
    monkeypatch.chdir(tmp_path)
    for name in arguments:
        if name.endswith((".yaml", ".json", ".jsonl")):
            Path(name).write_text("{}")
    context = command.make_context(words, arguments)  # raises for what the command does not take
    assert context.args == []


def test_there_is_no_example_of_nothing() -> None:
    assert set(EXAMPLES) <= set(leaves())


def test_exit_codes_are_documented_once_for_all() -> None:
    answer = CliRunner().invoke(cli, ["--help"]).output
    for code in Outcome:
        assert f"{code.value} " in answer.partition("Exit codes")[2]


def test_the_list_names_every_command_once() -> None:
    answer = CliRunner().invoke(cli, ["--help"])
    for name, (_, line) in COMMANDS.items():
        assert f"  {name} " in answer.output
        assert line.split()[0] in answer.output


def test_an_unknown_command_is_answered_with_the_nearest() -> None:
    answer = run("polcy")
    assert answer.returncode == Outcome.USAGE
    assert "Did you mean `policy`?" in answer.stderr
    assert answer.stdout == ""


@pytest.mark.parametrize(
    ("kind", "outcome"),
    [
        (problems.BadInput, Outcome.ERROR),
        (problems.NotAuthenticated, Outcome.NOT_SIGNED_IN),
        (problems.Denied, Outcome.DENIED),
        (problems.Escalation, Outcome.DENIED),
        (problems.NotFound, Outcome.NOT_FOUND),
        (problems.Conflict, Outcome.CONFLICT),
        (problems.Stale, Outcome.CONFLICT),
        (problems.TooMany, Outcome.ERROR),
        (problems.CoreFailed, Outcome.UNAVAILABLE),
        (problems.Unavailable, Outcome.UNAVAILABLE),
        (problems.Problem, Outcome.ERROR),
    ],
)
def test_no_failure_looks_like_an_allow(
    kind: type[Problem], outcome: Outcome, capsys: pytest.CaptureFixture[str]
) -> None:
    problem = kind("it went wrong", remedy="do this", faults=[Fault("/0/role", "is not known", ("A", "B"))])
    assert report(problem) == outcome != Outcome.DONE
    shown = capsys.readouterr()
    assert shown.out == ""
    for part in ("it went wrong", "do this", "/0/role", "(allowed: A, B)"):
        assert part in shown.err


def test_without_an_address_or_a_token_it_says_what_to_set() -> None:
    assert run("whoami").returncode == Outcome.USAGE
    assert "AIZEN_HUB_URL" in run("whoami").stderr
    answer = run("whoami", AIZEN_HUB_URL="http://127.0.0.1:9")
    assert answer.returncode == Outcome.NOT_SIGNED_IN
    assert "http://127.0.0.1:9/hub/token" in answer.stderr


def test_nobody_there_is_not_a_denial() -> None:
    answer = run("can-i", "read:model", AIZEN_HUB_URL="http://127.0.0.1:9", AIZEN_HUB_TOKEN="x" * 32)
    assert answer.returncode == Outcome.UNAVAILABLE
    assert answer.stdout == ""


def test_a_token_file_that_others_can_read_is_refused(tmp_path: object) -> None:
    from pathlib import Path

    file = Path(str(tmp_path)) / "token"
    file.write_text("x" * 32)
    file.chmod(0o644)
    answer = run("whoami", "--url", "http://127.0.0.1:9", "--token-file", str(file))
    assert answer.returncode == Outcome.USAGE
    assert "chmod 600" in answer.stderr


@pytest.mark.proves("R99")
def test_a_name_cannot_drive_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    hostile = "\x1b[2J\x1b]0;owned\x07‮evil\r\nsecond line [bold red]markup[/]"
    show_rows("table", ("name",), [{"name": hostile}])
    shown = capsys.readouterr().out
    assert not {"\x1b", "\x07", "‮", "\r"} & set(shown)
    assert "[bold red]markup[/]" in shown
    assert len(shown.splitlines()) == 2


def test_json_carries_everything_and_is_json(capsys: pytest.CaptureFixture[str]) -> None:
    result = {"kind": "table", "columns": ["a"], "rows": [[1]], "message": "one row", "data": {"x": 1}, "revision": 7}
    show_result("json", result)
    shown = capsys.readouterr()
    assert json.loads(shown.out) == result
    assert shown.err == ""


def test_tables_in_pipes_are_not_folded(capsys: pytest.CaptureFixture[str]) -> None:
    show_result("table", {"kind": "table", "columns": ["a", "b"], "rows": [["x" * 90, ["p", "q"]]], "message": "m"})
    shown = capsys.readouterr()
    assert "x" * 90 in shown.out
    assert "p, q" in shown.out
    assert shown.err == "m\n"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts(shell: str) -> None:
    answer = run("completion", shell)
    assert answer.returncode == 0
    assert "_AIZEN_HUB_COMPLETE" in answer.stdout
