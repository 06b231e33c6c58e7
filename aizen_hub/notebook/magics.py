"""The magics ``%aizen`` and ``%%aizen``, and the questions that are a single word."""

from __future__ import annotations

from typing import Any

from IPython.core.magic import Magics, line_cell_magic, line_magic, magics_class, no_var_expand
from IPython.display import display

from aizen_hub.notebook.command_runner import CommandRunner
from aizen_hub.notebook.display.refusal import Refusal
from aizen_hub.notebook.display.renderable import Notice, Renderable
from aizen_hub.notebook.display.result import CommandResult
from aizen_hub.notebook.errors import AizenDenied, AizenError
from aizen_hub.notebook.subcommands import run_line, suggest_command
from aizen_hub.notebook.transformer import command_lines, is_known, is_near_miss

MAGIC_NAMES = ("aizen", "whoami", "why")
STRICT, BACKGROUND = "--strict", "--background"
_PLAIN = "--plain"


class NotACommandError(Exception):
    """A cell that is neither Python nor commands; displayed as Python's own syntax error."""

    def __init__(self, error: SyntaxError, lines: list[str]) -> None:
        super().__init__(f"{error.msg} (line {error.lineno})")
        self._lines = lines

    def _render_traceback_(self) -> list[str]:
        return self._lines


@magics_class
class AizenMagics(Magics):
    """The magics; `CommandRunner` executes the commands."""

    shell: Any

    def __init__(self, shell: Any, runner: CommandRunner) -> None:
        super().__init__(shell)
        self.runner = runner

    @no_var_expand
    @line_cell_magic
    def aizen(self, line: str, cell: str | None = None) -> Renderable | None:
        """Run commands of the platform, and ask about them.

        ::

            %aizen <command>          one command; its result is the value: r = %aizen list projects
            %aizen                    your user name, project, and roles with their ends; also `whoami`
            %aizen help [words]       all commands, or those that start with these words; also `start training?`
            %aizen can i <command>    whether you may; also as plain text, like the next four
            %aizen who can <command>  who may
            %aizen why [<command>]    why something is allowed or not; without a command: the last refusal
            %aizen what can i do      the commands that you may give, by object
            %aizen request <role> [in <project>] [for 4h | until <day>] [because "…"]
                                      request a role; users who can grant it decide
            %aizen jobs [running]     your jobs; jobs = %aizen jobs; jobs[0].wait(), .log, .result, .stop()
            %aizen attach <id>        follow a job, for example after the page was loaded again
            %aizen stop <id>          stop a job
            %aizen off | on           disable or enable commands as plain text in cells
            %aizen --strict <command> raise AizenDenied if the command is refused, so that "Run All" stops
            %aizen --background <command>
                                      return the job of a command as soon as it runs
            %%aizen [--strict]        one command per line; stops at the first that fails
        """
        options, text = _split_options(line.strip())
        strict = STRICT in options
        if cell is None:
            if text.startswith("-"):
                return Notice(f"the options of `%aizen` are `{STRICT}` and `{BACKGROUND}`", "`%aizen?` shows the help")
            return run_line(text, self.runner, strict=strict, background=BACKGROUND in options)
        if text or BACKGROUND in options:
            return Notice(f"`%%aizen` accepts only `{STRICT}` on its first line", "nothing was executed")
        if _PLAIN in options:
            return self._run_plain_text(cell)
        return self._run_all(command_lines(cell.splitlines(keepends=True)) or [], strict)

    @no_var_expand
    @line_magic
    def whoami(self, line: str) -> Renderable:
        """Show your user name, project, and roles with their ends."""
        return run_line(f"whoami {line}".strip(), self.runner)

    @no_var_expand
    @line_magic
    def why(self, line: str) -> Renderable:
        """Explain the last refusal, or why you may give a command or not."""
        return run_line(f"why {line}".strip(), self.runner)

    def _run_all(self, lines: list[str], strict: bool) -> Renderable | None:
        for position, line in enumerate(lines, 1):
            try:
                output = run_line(line, self.runner, strict=strict)
            except AizenDenied as error:
                remaining = len(lines) - position
                raise AizenDenied(f"{error}\n{_stopped(remaining, len(lines))}" if remaining else str(error)) from None
            if position == len(lines):
                return output
            display(output)
            if isinstance(output, Refusal | Notice) or (isinstance(output, CommandResult) and output.failed):
                return Notice(_stopped(len(lines) - position, len(lines)))
        return None

    def _run_plain_text(self, cell: str) -> Renderable | None:
        # Python would not compile this cell, and the transformer had no catalog to tell whether it is a command.
        lines = command_lines(cell.splitlines(keepends=True)) or []
        try:
            catalog = self.runner.client.get_catalog()
        except AizenError as error:
            python = self._not_a_command(cell)
            return Notice(f"{error}", f"so this could not be checked for a command; as Python it is: {python}")
        unknown = [line for line in lines if not is_known(line, catalog)]
        if not unknown:
            return self._run_all(lines, strict=False)
        if all(
            is_near_miss(line, catalog, lambda word: self.shell.find_line_magic(word) is not None) for line in unknown
        ):
            return suggest_command(unknown[0], catalog)
        raise self._not_a_command(cell)

    def _not_a_command(self, cell: str) -> NotACommandError:
        shell = self.shell
        try:
            shell.compile(cell, shell.compile.cache(cell, shell.execution_count), "exec")
        except SyntaxError as error:
            return NotACommandError(error, list(shell.SyntaxTB.structured_traceback(SyntaxError, error, [])))
        return NotACommandError(SyntaxError("invalid syntax"), ["SyntaxError: invalid syntax"])


def _split_options(text: str) -> tuple[set[str], str]:
    options: set[str] = set()
    while text:
        word, _, rest = text.partition(" ")
        if word not in (STRICT, BACKGROUND, _PLAIN):
            break
        options.add(word)
        text = rest.strip()
    return options, text


def _stopped(skipped: int, total: int) -> str:
    return f"Stopped: {skipped} of the {total} commands {'was' if skipped == 1 else 'were'} not run"
