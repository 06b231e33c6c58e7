"""Puts everything into an IPython shell, and takes it out again."""

from __future__ import annotations

import os
from typing import Any

from aizen_hub.notebook.client import Client
from aizen_hub.notebook.completion import make_matcher
from aizen_hub.notebook.console import Console
from aizen_hub.notebook.errors import AizenError
from aizen_hub.notebook.magics import AizenMagics
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

    def remove(self) -> None:
        self.shell.input_transformers_cleanup.remove(self.transform)
        self.shell.Completer.custom_matchers.remove(self.matcher)
        for kind in ("line", "cell"):
            self.shell.magics_manager.magics[kind].pop("aizen", None)

    def transform(self, lines: list[str]) -> list[str]:
        if not self.console.plain_text:
            return lines
        return transform(lines, self.console.client.known_vocabulary, self._is_magic)

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
    extension = Extension(shell, Console(client, rich=hasattr(shell, "kernel")))
    extension.install()
    setattr(shell, _ATTRIBUTE, extension)


def unload_ipython_extension(shell: Any) -> None:
    """Take everything out of a shell again."""
    extension = getattr(shell, _ATTRIBUTE, None)
    if extension is not None:
        extension.remove()
        delattr(shell, _ATTRIBUTE)
