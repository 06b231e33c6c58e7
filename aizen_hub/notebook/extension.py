"""Installation of the extension in an IPython shell."""

from __future__ import annotations

import os
import threading
from typing import Any

from aizen_hub.notebook.client import NotebookClient
from aizen_hub.notebook.command_runner import CommandRunner
from aizen_hub.notebook.completion import make_matcher
from aizen_hub.notebook.display.text import escape_unprintable
from aizen_hub.notebook.errors import AizenError
from aizen_hub.notebook.magics import MAGIC_NAMES, AizenMagics
from aizen_hub.notebook.syntax_hint import find_python_hint, find_syntax_hint
from aizen_hub.notebook.transformer import transform

_ATTRIBUTE = "_aizen_extension"


class Extension:
    """The parts that are installed in one shell."""

    def __init__(self, shell: Any, runner: CommandRunner) -> None:
        self.shell, self.runner = shell, runner
        self.matcher = make_matcher(runner)

    def install(self) -> None:
        self.shell.register_magics(AizenMagics(self.shell, self.runner))
        self.shell.input_transformers_cleanup.append(self.transform_cell)
        self.shell.Completer.custom_matchers.append(self.matcher)
        self.shell.events.register("post_run_cell", self.show_hint)

    def remove(self) -> None:
        self.shell.input_transformers_cleanup.remove(self.transform_cell)
        self.shell.Completer.custom_matchers.remove(self.matcher)
        self.shell.events.unregister("post_run_cell", self.show_hint)
        for kind in ("line", "cell"):
            for name in MAGIC_NAMES:
                self.shell.magics_manager.magics[kind].pop(name, None)

    def transform_cell(self, lines: list[str]) -> list[str]:
        if not self.runner.plain_text:
            return lines
        return transform(lines, self.runner.client.cached_catalog, self._is_magic)

    def show_hint(self, result: Any) -> None:
        """Print how to write the command, if a cell with a command failed as Python, or is a name of Python."""
        catalog = self.runner.client.cached_catalog
        if catalog is None or not self.runner.plain_text:
            return
        is_syntax_error = isinstance(result.error_before_exec, SyntaxError)
        find_hint = find_syntax_hint if is_syntax_error else find_python_hint
        if sentence := find_hint(str(result.info.raw_cell), catalog):
            print(f"aizen: {escape_unprintable(sentence)}")

    def fetch_catalog(self) -> None:
        """Fetch the catalog in advance; after a failure it is fetched when it is needed."""
        try:
            self.runner.client.get_catalog()
        except AizenError:
            return

    def _is_magic(self, word: str) -> bool:
        return bool(self.shell.automagic) and self.shell.find_line_magic(word) is not None


def load_ipython_extension(shell: Any) -> None:
    """Install the extension in a shell; a second installation replaces the first."""
    if not os.environ.get("AIZEN_URL"):
        print("aizen: AIZEN_URL is not set; the extension was not loaded")
        return
    try:
        client = NotebookClient.from_environment()
    except AizenError as error:
        print(f"aizen: {error}; the extension was not loaded")
        return
    unload_ipython_extension(shell)
    in_notebook = hasattr(shell, "kernel")
    extension = Extension(shell, CommandRunner(client, rich=in_notebook))
    extension.install()
    setattr(shell, _ATTRIBUTE, extension)
    if in_notebook:
        # In a thread, since the start of the kernel must not wait for a slow service.
        threading.Thread(target=extension.fetch_catalog, name="aizen catalog", daemon=True).start()


def unload_ipython_extension(shell: Any) -> None:
    """Uninstall the extension from a shell."""
    extension = getattr(shell, _ATTRIBUTE, None)
    if extension is not None:
        extension.remove()
        delattr(shell, _ATTRIBUTE)
