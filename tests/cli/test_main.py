"""Common behaviour of the command line: help, exit codes, output streams, safe terminal output."""

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
from aizen_hub.cli.exit_codes import ExitCode, report_problem
from aizen_hub.cli.main import COMMANDS, cli
from aizen_hub.cli.output import Format, Output, show_result, show_rows
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
    parameters: list[object] = []

    def visit(command: click.Command, path: tuple[str, ...]) -> None:
        if path:
            parameters.append(pytest.param(command, id=" ".join(path)))
        if isinstance(command, click.Group):
            context = click.Context(command)
            for name in command.list_commands(context):
                subcommand = command.get_command(context, name)
                assert subcommand is not None, name
                visit(subcommand, (*path, name))

    visit(cli, ())
    return parameters


@pytest.mark.parametrize("command", commands())
def test_every_command_and_option_has_help(command: click.Command) -> None:
    assert command.help, "missing help"
    for parameter in command.params:
        if isinstance(parameter, click.Option) and parameter.name not in ("help", "scopes"):
            assert parameter.help, f"missing help of {parameter.opts[0]}"
    answer = CliRunner().invoke(command, ["--help"])
    assert answer.exit_code == 0
    assert all(len(line) <= 110 for line in answer.output.splitlines())


def leaf_commands() -> dict[str, click.Command]:
    return {
        parameter.id: parameter.values[0]
        for parameter in commands()
        if not isinstance(parameter.values[0], click.Group)
    }  # type: ignore[attr-defined]


@pytest.mark.parametrize("words", sorted(leaf_commands()))
def test_every_command_has_an_example_that_parses(words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command = leaf_commands()[words]
    if words not in EXAMPLES:
        assert "xample" in (command.help or "")
        return
    assert EXAMPLES[words] in CliRunner().invoke(command, ["--help"]).output
    arguments = shlex.split(EXAMPLES[words])
    if ">" in arguments:
        arguments = arguments[: arguments.index(">")]
    monkeypatch.chdir(tmp_path)
    for name in arguments:
        if name.endswith((".yaml", ".json", ".jsonl", ".csv")):
            Path(name).write_text("{}")
    context = command.make_context(words, arguments)  # raises for invalid arguments
    assert context.args == []


def test_every_example_belongs_to_a_command() -> None:
    assert set(EXAMPLES) <= set(leaf_commands())


def test_exit_codes_are_documented() -> None:
    answer = CliRunner().invoke(cli, ["--help"]).output
    for code in ExitCode:
        assert f"{code.value} " in answer.partition("Exit codes")[2]


def test_the_list_names_every_command_once() -> None:
    answer = CliRunner().invoke(cli, ["--help"])
    for name, (_, line) in COMMANDS.items():
        assert f"  {name} " in answer.output
        assert line.split()[0] in answer.output


def test_an_unknown_command_suggests_the_most_similar_one() -> None:
    answer = run("polcy")
    assert answer.returncode == ExitCode.USAGE
    assert "Did you mean `policy`?" in answer.stderr
    assert answer.stdout == ""


@pytest.mark.parametrize(
    ("kind", "outcome"),
    [
        (problems.BadInput, ExitCode.ERROR),
        (problems.NotAuthenticated, ExitCode.NOT_SIGNED_IN),
        (problems.Denied, ExitCode.DENIED),
        (problems.Escalation, ExitCode.DENIED),
        (problems.NotFound, ExitCode.NOT_FOUND),
        (problems.Conflict, ExitCode.CONFLICT),
        (problems.Stale, ExitCode.CONFLICT),
        (problems.TooManyRequests, ExitCode.ERROR),
        (problems.CoreFailed, ExitCode.UNAVAILABLE),
        (problems.Unavailable, ExitCode.UNAVAILABLE),
        (problems.Problem, ExitCode.ERROR),
    ],
)
def test_no_failure_looks_like_an_allow(
    kind: type[Problem], outcome: ExitCode, capsys: pytest.CaptureFixture[str]
) -> None:
    problem = kind("it went wrong", remedy="do this", faults=[Fault("/0/role", "is not known", ("A", "B"))])
    assert report_problem(problem) == outcome != ExitCode.DONE
    output = capsys.readouterr()
    assert output.out == ""
    for part in ("it went wrong", "do this", "/0/role", "(allowed: A, B)"):
        assert part in output.err


def test_a_missing_address_or_token_says_what_to_set() -> None:
    assert run("whoami").returncode == ExitCode.USAGE
    assert "AIZEN_HUB_URL" in run("whoami").stderr
    answer = run("whoami", AIZEN_HUB_URL="http://127.0.0.1:9")
    assert answer.returncode == ExitCode.NOT_SIGNED_IN
    assert "http://127.0.0.1:9/hub/token" in answer.stderr


def test_an_unreachable_service_is_not_a_denial() -> None:
    answer = run("can-i", "read:model", AIZEN_HUB_URL="http://127.0.0.1:9", AIZEN_HUB_TOKEN="x" * 32)
    assert answer.returncode == ExitCode.UNAVAILABLE
    assert answer.stdout == ""


def test_a_token_file_that_others_can_read_is_refused(tmp_path: object) -> None:
    from pathlib import Path

    file = Path(str(tmp_path)) / "token"
    file.write_text("x" * 32)
    file.chmod(0o644)
    answer = run("whoami", "--url", "http://127.0.0.1:9", "--token-file", str(file))
    assert answer.returncode == ExitCode.USAGE
    assert "chmod 600" in answer.stderr


@pytest.mark.proves("R99")
def test_names_cannot_control_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    hostile = "\x1b[2J\x1b]0;owned\x07‮evil\r\nsecond line [bold red]markup[/]"
    show_rows(Output(Format.TABLE), ("name",), [{"name": hostile}])
    output = capsys.readouterr().out
    assert not {"\x1b", "\x07", "‮", "\r"} & set(output)
    assert "[bold red]markup[/]" in output
    assert len(output.splitlines()) == 2


def test_json_output_contains_the_whole_result(capsys: pytest.CaptureFixture[str]) -> None:
    result = {"kind": "message", "message": "granted", "data": {"x": 1}, "revision": 7}
    show_result(Output(Format.JSON), result)
    output = capsys.readouterr()
    assert json.loads(output.out) == result
    assert output.err == ""


def test_tables_in_pipes_are_not_folded(capsys: pytest.CaptureFixture[str]) -> None:
    show_result(Output(), {"kind": "table", "columns": ["a", "b"], "rows": [["x" * 90, ["p", "q"]]], "message": "m"})
    output = capsys.readouterr()
    assert "x" * 90 in output.out
    assert "p, q" in output.out
    assert output.err == "m\n"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts(shell: str) -> None:
    answer = run("completion", shell)
    assert answer.returncode == 0
    assert "_AIZEN_HUB_COMPLETE" in answer.stdout
