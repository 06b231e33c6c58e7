"""What follows ``%aizen``: subcommands, questions and commands, one line each."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from aizen_hub.notebook.answers import answer_question, show_session
from aizen_hub.notebook.command_catalog import CommandCatalog
from aizen_hub.notebook.command_runner import CommandRunner
from aizen_hub.notebook.display.refusal import Refusal
from aizen_hub.notebook.display.renderable import Notice, Renderable
from aizen_hub.notebook.display.result import CommandResult
from aizen_hub.notebook.errors import AizenDenied, AizenError, ProblemResponseError
from aizen_hub.notebook.job import Job, Jobs
from aizen_hub.notebook.question import Question, QuestionKind, may_be_question, read_question

_JOB_ID = re.compile(r"[0-9a-f]{4,64}")


def run_line(line: str, runner: CommandRunner, *, strict: bool = False, background: bool = False) -> Renderable:
    """Run one line: a subcommand, a question, or a command of the platform.

    Raises
    ------
    AizenDenied
        In strict mode, if there is a refusal or nothing was executed.
    """
    word, _, arguments = line.partition(" ")
    subcommand = _SUBCOMMANDS.get(word)
    if subcommand is not None and (output := _safely(subcommand, runner, arguments.strip())) is not None:
        return _checked(output, strict)
    try:
        question = _question(line, runner)
    except AizenError as error:
        return _checked(Notice(str(error)), strict)
    if question is not None:
        return _checked(answer_question(question, runner), strict)
    return runner.run(line, strict=strict, background=background)


def suggest_command(line: str, catalog: CommandCatalog) -> Notice:
    """Return what may be meant by a line that is similar to a command."""
    suggestion = catalog.suggest(line)
    if suggestion:
        return Notice(f"`{line}` is not a command. Did you mean: {suggestion}", "nothing was executed")
    first = line.split()[0]
    return Notice(
        f"`{line}` is not a command. `{first}` can be followed by: {', '.join(catalog.second_words(line))}",
        "nothing was executed",
    )


def _checked(output: Renderable, strict: bool) -> Renderable:
    if strict and isinstance(output, Refusal | Notice):
        raise AizenDenied(output.text())
    return output


def _safely(
    subcommand: Callable[[CommandRunner, str], Renderable | None], runner: CommandRunner, arguments: str
) -> Renderable | None:
    try:
        return subcommand(runner, arguments)
    except ProblemResponseError as error:
        return Refusal(error.document)
    except AizenError as error:
        return Notice(str(error))


def _question(line: str, runner: CommandRunner) -> Question | None:
    if line == "why":
        return Question(QuestionKind.WHY)
    return read_question(line, runner.client.get_catalog()) if may_be_question(line) else None


def _switch(on: bool) -> Callable[[CommandRunner, str], Renderable | None]:
    def switch(runner: CommandRunner, arguments: str) -> Renderable | None:
        if arguments:
            return None
        runner.plain_text = on
        return Notice("plain-text commands are on" if on else "plain-text commands are off; `%aizen` still works")

    return switch


def _show_jobs(runner: CommandRunner, arguments: str) -> Renderable | None:
    if arguments not in ("", "running"):
        return None
    return Jobs.read(runner.client, running_only=arguments == "running", rich=runner.rich)


def _attach(runner: CommandRunner, arguments: str) -> Renderable | None:
    if not arguments:
        return Notice("which job?", "`%aizen jobs` lists yours; `%aizen attach <id>`")
    job = Job.find(runner.client, arguments, rich=runner.rich)
    job.wait()
    return job


def _show_job(runner: CommandRunner, arguments: str) -> Renderable | None:
    return Job.find(runner.client, arguments, rich=runner.rich) if _JOB_ID.fullmatch(arguments) else None


def _stop(runner: CommandRunner, arguments: str) -> Renderable | None:
    # `stop training churn` is a command of the platform.
    return Job.find(runner.client, arguments, rich=runner.rich).stop() if _JOB_ID.fullmatch(arguments) else None


def _request(runner: CommandRunner, arguments: str) -> Renderable | None:
    line = f"request {arguments}"
    if read_question(line, runner.client.get_catalog()) is None:
        sentence = f"`{line}` cannot be read" if arguments else "which role?"
        return Notice(sentence, '`request <role> [in <project>] [for 4h | until <day>] [because "…"]`')
    return None


def _show_help(runner: CommandRunner, prefix: str) -> Renderable:
    catalog = runner.client.get_catalog(refresh=True)
    if tuple(prefix.split()) in catalog.entries and " " in prefix:
        return answer_question(Question(QuestionKind.HELP, prefix), runner)
    rows = [
        [entry.text, entry.grammar, entry.description]
        for _, entry in sorted(catalog.entries.items())
        if entry.text.startswith(prefix)
    ]
    if not rows:
        suggestion = catalog.suggest(prefix)
        return Notice(f"no command starts with `{prefix}`", f"did you mean: {suggestion}" if suggestion else "")
    return CommandResult({"columns": ["command", "arguments", "description"], "rows": rows}, command="%aizen help")


_SUBCOMMANDS: Mapping[str, Callable[[CommandRunner, str], Renderable | None]] = {
    "": lambda runner, _: show_session(runner),
    "whoami": lambda runner, arguments: None if arguments else show_session(runner),
    "on": _switch(True),
    "off": _switch(False),
    "help": _show_help,
    "jobs": _show_jobs,
    "job": _show_job,
    "attach": _attach,
    "stop": _stop,
    "request": _request,
}
"""Each returns None for what it does not read: then the line is a question or a command."""
SUBCOMMANDS = tuple(name for name in _SUBCOMMANDS if name)
