"""``%aizen`` and ``%%aizen``."""

from __future__ import annotations

import re
from typing import Any

from IPython.core.magic import Magics, line_cell_magic, magics_class, no_var_expand
from IPython.display import display

from aizen_hub.notebook.command_catalog import Vocabulary
from aizen_hub.notebook.console import Console
from aizen_hub.notebook.display import Notice, Refusal, Result, Shown
from aizen_hub.notebook.errors import AizenDenied, AizenError, Refused
from aizen_hub.notebook.transformer import command_lines, is_near_miss

_STRICT = "--strict"
_PLAIN = "--plain"
_ASK = re.compile(r"(\S+)(?:\s+in\s+(\S+))?(?:\s+(.+))?")


class NotACommand(Exception):
    """A cell that is neither Python nor commands; shown as the syntax error that Python would have shown."""

    def __init__(self, error: SyntaxError, lines: list[str]) -> None:
        super().__init__(f"{error.msg} (line {error.lineno})")
        self._lines = lines

    def _render_traceback_(self) -> list[str]:
        return self._lines


@magics_class
class AizenMagics(Magics):
    """The magics; what they do is in `Console`."""

    shell: Any

    def __init__(self, shell: Any, console: Console) -> None:
        super().__init__(shell)
        self.console = console

    @no_var_expand
    @line_cell_magic
    def aizen(self, line: str, cell: str | None = None) -> Shown | None:
        """Run commands of the platform.

        ::

            %aizen <command>          one command; its result is the value: r = %aizen list projects
            %aizen                    who you are here: project, roles, limits
            %aizen help [words]       the commands, or those that begin with these words; also `start training?`
            %aizen ask <role> [in <project>] [why]
                                      ask for a role; whoever could grant it sees it and decides
            %aizen off | on           commands as plain text in cells: off, or on again
            %aizen --strict <command> a refusal is an error, so that "Run All" stops at it
            %%aizen [--strict]        one command per line; stops at the first that is not carried out
        """
        words = line.split()
        strict, plain = _STRICT in words[:1], _PLAIN in words[:1]
        text = line.strip()
        if strict or plain:
            text = text[len(words[0]) :].strip()
        if cell is None:
            return self._line(text, strict)
        if text:
            return Notice(f"`%%aizen` takes nothing but `{_STRICT}` on its first line", "nothing was carried out")
        if plain:
            return self._plain(cell)
        return self._all(command_lines(cell.splitlines(keepends=True)) or [], strict)

    def _line(self, text: str, strict: bool) -> Shown:
        word, _, rest = text.partition(" ")
        if word in ("on", "off") and not rest:
            self.console.plain_text = word == "on"
            return Notice(f"commands as plain text are {word}" + ("; `%aizen` still works" if word == "off" else ""))
        if word == "help":
            return self._help(rest.strip())
        if word == "ask":
            return self._ask(rest.strip())
        if not text:
            return self._me()
        if text.startswith("-"):
            return Notice(f"`%aizen` has no option but `{_STRICT}`", "`%aizen?` says what else there is")
        return self.console.run(text, strict=strict)

    def _all(self, lines: list[str], strict: bool) -> Shown | None:
        for number, line in enumerate(lines, 1):
            try:
                shown = self.console.run(line, strict=strict)
            except AizenDenied as denied:
                left = len(lines) - number
                raise AizenDenied(f"{denied}\n{left} commands after it were not run" if left else str(denied)) from None
            if number == len(lines):
                return shown
            display(shown)
            if not (isinstance(shown, Result) and shown.ok):
                return Notice(f"stopped here: {len(lines) - number} of {len(lines)} commands were not run")
        return None

    def _plain(self, cell: str) -> Shown | None:
        # The transformer saw something that Python would not compile; with the catalog at hand it is now judged.
        lines = command_lines(cell.splitlines(keepends=True)) or []
        try:
            vocabulary = self.console.client.vocabulary()
        except AizenError as error:
            python = self._not_a_command(cell)
            return Notice(f"{error}", f"so nobody can tell whether this is a command; as Python it is: {python}")
        if all(vocabulary.find(line) for line in lines):
            return self._all(lines, strict=False)
        wrong = [line for line in lines if vocabulary.find(line) is None]
        if all(
            is_near_miss(line, vocabulary, lambda word: self.shell.find_line_magic(word) is not None) for line in wrong
        ):
            return _suggestion(wrong[0], vocabulary)
        raise self._not_a_command(cell)

    def _not_a_command(self, cell: str) -> NotACommand:
        shell = self.shell
        try:
            shell.compile(cell, shell.compile.cache(cell, shell.execution_count), "exec")
        except SyntaxError as error:
            return NotACommand(error, list(shell.SyntaxTB.structured_traceback(SyntaxError, error, [])))
        return NotACommand(SyntaxError("invalid syntax"), ["SyntaxError: invalid syntax"])

    def _me(self) -> Shown:
        try:
            me = self.console.client.me()
        except AizenError as error:
            return Notice(str(error))
        roles = [[role.get("role"), role.get("scope"), role.get("via")] for role in me.get("roles") or ()]
        project = f"in project `{me['project']}`" if me.get("project") else "without a project"
        minutes = self.console.client.token.seconds_left / 60
        message = f"{me.get('user')} {project}; the token is renewed by itself, {minutes:.0f} min left of this one"
        table = {"message": message, "columns": ["role", "scope", "through"], "rows": roles, "data": me}
        return Result(table, command="%aizen")

    def _ask(self, text: str) -> Shown:
        asked = _ASK.fullmatch(text)
        if asked is None:
            return Notice("which role?", "%aizen ask <role> [in <project>] [why]")
        role, scope, why = asked[1], asked[2], asked[3] or ""
        client = self.console.client
        try:
            if scope is None:
                is_of_system = role in client.vocabulary().system_roles
                scope = "system" if is_of_system else client.me().get("project") or "system"
            return Result(client.ask(role, scope, why), command=f"%aizen ask {text}")
        except Refused as refusal:
            return Refusal(refusal.document, f"%aizen ask {text}")
        except AizenError as error:
            return Notice(str(error))

    def _help(self, words: str) -> Shown:
        try:
            vocabulary = self.console.client.vocabulary(anew=True)
        except AizenError as error:
            return Notice(str(error))
        rows = [
            [entry.text, entry.grammar, entry.description]
            for _, entry in sorted(vocabulary.entries.items())
            if entry.text.startswith(words)
        ]
        if not rows:
            meant = vocabulary.suggest(words)
            return Notice(f"no command begins with `{words}`", f"did you mean: {meant}" if meant else "")
        return Result({"columns": ["command", "what follows", "what it does"], "rows": rows}, command="%aizen help")


def _suggestion(line: str, vocabulary: Vocabulary) -> Notice:
    meant = vocabulary.suggest(line)
    if meant:
        return Notice(f"`{line}` is not a command. Did you mean: {meant}", "nothing was carried out")
    first = line.split()[0]
    return Notice(
        f"`{line}` is not a command. After `{first}` may come: {', '.join(vocabulary.second_words(line))}",
        "nothing was carried out",
    )
