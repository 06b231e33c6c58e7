"""The magics ``%aizen`` and ``%%aizen``."""

from __future__ import annotations

import re
from typing import Any

from IPython.core.magic import Magics, line_cell_magic, magics_class, no_var_expand
from IPython.display import display

from aizen_hub.notebook.command_catalog import CommandCatalog
from aizen_hub.notebook.command_runner import CommandRunner
from aizen_hub.notebook.display import CommandResult, Notice, Refusal, Renderable
from aizen_hub.notebook.errors import AizenDeniedError, AizenError, ProblemResponseError
from aizen_hub.notebook.transformer import command_lines, is_near_miss

_STRICT = "--strict"
_PLAIN = "--plain"
_ROLE_REQUEST = re.compile(r"(\S+)(?:\s+in\s+(\S+))?(?:\s+(.+))?")


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
        """Run commands of the platform.

        ::

            %aizen <command>          one command; its result is the value: r = %aizen list projects
            %aizen                    your user name, project, roles and limits
            %aizen help [words]       all commands, or those that start with these words; also `start training?`
            %aizen ask <role> [in <project>] [reason]
                                      request a role; users who can grant it decide
            %aizen off | on           disable or enable commands as plain text in cells
            %aizen --strict <command> raise an error if the command is refused, so that "Run All" stops
            %%aizen [--strict]        one command per line; stops at the first that fails
        """
        words = line.split()
        strict, plain = _STRICT in words[:1], _PLAIN in words[:1]
        text = line.strip()
        if strict or plain:
            text = text[len(words[0]) :].strip()
        if cell is None:
            return self._run_line(text, strict)
        if text:
            return Notice(f"`%%aizen` accepts only `{_STRICT}` on its first line", "nothing was executed")
        if plain:
            return self._run_plain_text(cell)
        return self._run_all(command_lines(cell.splitlines(keepends=True)) or [], strict)

    def _run_line(self, text: str, strict: bool) -> Renderable:
        word, _, arguments = text.partition(" ")
        if word in ("on", "off") and not arguments:
            self.runner.plain_text = word == "on"
            return Notice(f"plain-text commands are {word}" + ("; `%aizen` still works" if word == "off" else ""))
        if word == "help":
            return self._show_help(arguments.strip())
        if word == "ask":
            return self._request_role(arguments.strip())
        if not text:
            return self._show_identity()
        if text.startswith("-"):
            return Notice(f"the only option of `%aizen` is `{_STRICT}`", "`%aizen?` shows the help")
        return self.runner.run(text, strict=strict)

    def _run_all(self, lines: list[str], strict: bool) -> Renderable | None:
        for position, line in enumerate(lines, 1):
            try:
                output = self.runner.run(line, strict=strict)
            except AizenDeniedError as error:
                remaining = len(lines) - position
                raise AizenDeniedError(
                    f"{error}\n{_stopped(remaining, len(lines))}" if remaining else str(error)
                ) from None
            if position == len(lines):
                return output
            display(output)
            if not (isinstance(output, CommandResult) and output.ok):
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
        if all(catalog.find(line) for line in lines):
            return self._run_all(lines, strict=False)
        unknown = [line for line in lines if catalog.find(line) is None]
        if all(
            is_near_miss(line, catalog, lambda word: self.shell.find_line_magic(word) is not None) for line in unknown
        ):
            return _suggest_command(unknown[0], catalog)
        raise self._not_a_command(cell)

    def _not_a_command(self, cell: str) -> NotACommandError:
        shell = self.shell
        try:
            shell.compile(cell, shell.compile.cache(cell, shell.execution_count), "exec")
        except SyntaxError as error:
            return NotACommandError(error, list(shell.SyntaxTB.structured_traceback(SyntaxError, error, [])))
        return NotACommandError(SyntaxError("invalid syntax"), ["SyntaxError: invalid syntax"])

    def _show_identity(self) -> Renderable:
        try:
            identity = self.runner.client.get_identity()
        except AizenError as error:
            return Notice(str(error))
        roles = [[role.get("role"), role.get("scope"), role.get("via")] for role in identity.get("roles") or ()]
        project = f"in project `{identity['project']}`" if identity.get("project") else "without a project"
        minutes = self.runner.client.token.seconds_left / 60
        message = f"{identity.get('user')} {project}; role token valid for {minutes:.0f} min, renewed automatically"
        table = {"message": message, "columns": ["role", "scope", "via"], "rows": roles, "data": identity}
        return CommandResult(table, command="%aizen")

    def _request_role(self, text: str) -> Renderable:
        match = _ROLE_REQUEST.fullmatch(text)
        if match is None:
            return Notice("the role is missing", "%aizen ask <role> [in <project>] [reason]")
        role, scope, reason = match[1], match[2], match[3] or ""
        client = self.runner.client
        try:
            if scope is None:
                is_system_role = role in client.get_catalog().system_roles
                scope = "system" if is_system_role else client.get_identity().get("project") or "system"
            return CommandResult(client.request_role(role, scope, reason), command=f"%aizen ask {text}")
        except ProblemResponseError as error:
            return Refusal(error.document, f"%aizen ask {text}")
        except AizenError as error:
            return Notice(str(error))

    def _show_help(self, prefix: str) -> Renderable:
        try:
            catalog = self.runner.client.get_catalog(refresh=True)
        except AizenError as error:
            return Notice(str(error))
        rows = [
            [entry.text, entry.grammar, entry.description]
            for _, entry in sorted(catalog.entries.items())
            if entry.text.startswith(prefix)
        ]
        if not rows:
            suggestion = catalog.suggest(prefix)
            return Notice(f"no command starts with `{prefix}`", f"did you mean: {suggestion}" if suggestion else "")
        return CommandResult({"columns": ["command", "arguments", "description"], "rows": rows}, command="%aizen help")


def _suggest_command(line: str, catalog: CommandCatalog) -> Notice:
    suggestion = catalog.suggest(line)
    if suggestion:
        return Notice(f"`{line}` is not a command. Did you mean: {suggestion}", "nothing was executed")
    first = line.split()[0]
    return Notice(
        f"`{line}` is not a command. `{first}` can be followed by: {', '.join(catalog.second_words(line))}",
        "nothing was executed",
    )


def _stopped(skipped: int, total: int) -> str:
    return f"Stopped: {skipped} of the {total} commands {'was' if skipped == 1 else 'were'} not run"
