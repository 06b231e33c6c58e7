"""Puts everything into an IPython shell, and takes it out again."""

from __future__ import annotations

import os
import threading
from typing import Any

from aizen_hub.notebook.client import Client
from aizen_hub.notebook.completion import make_matcher
from aizen_hub.notebook.console import Console
from aizen_hub.notebook.display import clean
from aizen_hub.notebook.errors import AizenError
from aizen_hub.notebook.magics import AizenMagics
from aizen_hub.notebook.syntax_hint import hint
from aizen_hub.notebook.transformer import transform

_ATTRIBUTE = "_aizen_extension"


class Extension:
    """What was put into one shell."""

    def __init__(self, shell: Any, console: Console) -> None:
        self.shell, self.console = shell, console
        self.matcher = make_matcher(console)

    def install(self) -> None:
        self.shell.register_magics(AizenMagics(self.shell, self.console))
        self.shell.input_transformers_cleanup.append(self.transform)
        self.shell.Completer.custom_matchers.append(self.matcher)
        self.shell.events.register("post_run_cell", self.hint)

    def remove(self) -> None:
        self.shell.input_transformers_cleanup.remove(self.transform)
        self.shell.Completer.custom_matchers.remove(self.matcher)
        self.shell.events.unregister("post_run_cell", self.hint)
        for kind in ("line", "cell"):
            self.shell.magics_manager.magics[kind].pop("aizen", None)

    def transform(self, lines: list[str]) -> list[str]:
        if not self.console.plain_text:
            return lines
        return transform(lines, self.console.client.known_vocabulary, self._is_magic)

    def hint(self, result: Any) -> None:
        """Say how it would be written, where a cell failed as Python and held a command."""
        vocabulary = self.console.client.known_vocabulary
        if not isinstance(result.error_before_exec, SyntaxError) or vocabulary is None or not self.console.plain_text:
            return
        if sentence := hint(result.info.raw_cell, vocabulary):
            print(f"aizen: {clean(sentence)}")

    def fetch(self) -> None:
        """Fetch the catalog, so that the first cell finds it; without it, whoever needs it asks again."""
        try:
            self.console.client.vocabulary()
        except AizenError:
            return

    def _is_magic(self, word: str) -> bool:
        return bool(self.shell.automagic) and self.shell.find_line_magic(word) is not None


def load_ipython_extension(shell: Any) -> None:
    """Install into a shell; done twice, the second replaces the first."""
    if not os.environ.get("AIZEN_URL"):
        print("aizen: AIZEN_URL is not set, so there is no service to talk to; nothing was loaded")
        return
    try:
        client = Client.from_environment()
    except AizenError as error:
        print(f"aizen: {error}; nothing was loaded")
        return
    unload_ipython_extension(shell)
    in_notebook = hasattr(shell, "kernel")
    extension = Extension(shell, Console(client, rich=in_notebook))
    extension.install()
    setattr(shell, _ATTRIBUTE, extension)
    if in_notebook:
        # Beside the start of the kernel, which must not wait for a service that is slow.
        threading.Thread(target=extension.fetch, name="aizen catalog", daemon=True).start()


def unload_ipython_extension(shell: Any) -> None:
    """Take everything out of a shell again."""
    extension = getattr(shell, _ATTRIBUTE, None)
    if extension is not None:
        extension.remove()
        delattr(shell, _ATTRIBUTE)
