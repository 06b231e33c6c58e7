"""Completion of commands and names, after ``%aizen`` and in plain text."""

from __future__ import annotations

import keyword
import time
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlencode

from IPython.core.completer import CompletionContext, SimpleCompletion, SimpleMatcherResult, context_matcher

from aizen_hub.notebook.command_runner import CommandRunner
from aizen_hub.notebook.display.result import as_list
from aizen_hub.notebook.errors import AizenError
from aizen_hub.notebook.subcommands import SUBCOMMANDS

_MAGICS = ("%aizen ", "%%aizen ")
_OPTIONS = ("--strict ", "--background ")
_QUESTIONS = ("can i ", "who can ", "why not ", "why ")
_MAX_COMPLETED = 2_000
_RETRY_SECONDS = 30.0
NAMES_SECONDS = 0.15
"""Names come within this time or not at all: typing must not wait for a service."""


class Completer:
    """The matcher for IPython's completer: words from the catalog of the kernel, names from the service.

    The catalog is fetched only at the first completion after ``%aizen``: a slow service must not slow down the
    completion of Python. What fails is not asked again for half a minute.
    """

    def __init__(self, runner: CommandRunner) -> None:
        self._runner = runner
        self._catalog_failed = self._names_failed = float("-inf")

    def __call__(self, context: CompletionContext) -> SimpleMatcherResult:
        text = context.text_until_cursor.lstrip()
        magic = next((magic for magic in _MAGICS if text.startswith(magic)), None)
        line = text if magic is None else text[len(magic) :].lstrip()
        for option in _OPTIONS:
            line = line.removeprefix(option)
        words = self._words(line, magic)
        typed = line.rpartition(" ")[2]
        # IPython replaces only its own token under the cursor, which ends at a comma.
        skip = len(typed) - len(context.token) if typed.endswith(context.token) else 0
        completions = [SimpleCompletion(word[skip:], type="command") for word in words]
        # `import da` can be completed to `import dataset`, but Python's modules must stay on offer.
        first = line.partition(" ")[0]
        is_command = magic is not None or (" " in text and not keyword.iskeyword(first))
        return SimpleMatcherResult(completions=completions, suppress=is_command and bool(completions))

    def _words(self, line: str, magic: str | None) -> list[str]:
        catalog = self._runner.client.cached_catalog
        now = time.monotonic()
        if catalog is None and magic is not None and now - self._catalog_failed > _RETRY_SECONDS:
            try:
                catalog = self._runner.client.get_catalog()
            except AizenError:
                self._catalog_failed = time.monotonic()
        if catalog is None or not (magic or self._runner.plain_text):
            return []
        subject = next((line.removeprefix(question) for question in _QUESTIONS if line.startswith(question)), line)
        words = list(catalog.completions(subject))
        if magic is not None and " " not in line:
            words += [word for word in (*SUBCOMMANDS, *map(str.strip, _OPTIONS)) if word.startswith(line)]
        first, _, argument = line.partition(" ")
        if first == "request" and " " not in argument and (magic or argument):
            words += [role for role in catalog.roles if role.startswith(argument)]
        if catalog.find(subject) is not None and subject == line:
            words += [name for name in self._names(line) if name not in words]
        return words

    def _names(self, line: str) -> list[str]:
        """Return what the service completes the last word to; nothing if it takes too long."""
        client = self._runner.client
        if (
            len(line) > _MAX_COMPLETED
            or time.monotonic() - self._names_failed <= _RETRY_SECONDS
            or not client.token.is_fresh
        ):
            return []
        try:
            query = urlencode({"line": line})
            document = client.request_json(f"/api/v1/completions?{query}", NAMES_SECONDS, repeated=False)
        except AizenError:
            self._names_failed = time.monotonic()
            return []
        start = document.get("start")
        kept = line[line.rfind(" ") + 1 : start] if isinstance(start, int) else ""
        items = [item for item in as_list(document.get("completions")) if isinstance(item, Mapping)]
        return [f"{kept}{item.get('text')}" for item in items]


def make_matcher(runner: CommandRunner) -> Callable[[CompletionContext], Any]:
    """Return a matcher for IPython's completer."""
    completer = Completer(runner)

    @context_matcher(identifier="aizen")
    def complete(context: CompletionContext) -> SimpleMatcherResult:
        return completer(context)

    return complete
