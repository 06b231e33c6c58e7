"""Completion of commands from the catalog, after ``%aizen`` and in plain text."""

from __future__ import annotations

import keyword
import time
from collections.abc import Callable
from typing import Any

from IPython.core.completer import CompletionContext, SimpleCompletion, SimpleMatcherResult, context_matcher

from aizen_hub.notebook.command_runner import CommandRunner
from aizen_hub.notebook.errors import AizenError

_MAGICS = ("%aizen ", "%%aizen ")
_SUBCOMMANDS = ("ask", "help", "off", "on", "--strict")
_RETRY_SECONDS = 30.0


def make_matcher(runner: CommandRunner) -> Callable[[CompletionContext], Any]:
    """Return a matcher for IPython's completer.

    The catalog is fetched only at the first completion after ``%aizen``: a slow service must not slow down the
    completion of Python. After a failure it is not fetched again for half a minute.
    """
    last_failure = float("-inf")

    @context_matcher(identifier="aizen")
    def complete(context: CompletionContext) -> SimpleMatcherResult:
        nonlocal last_failure
        text = context.text_until_cursor.lstrip()
        magic = next((magic for magic in _MAGICS if text.startswith(magic)), None)
        line = text if magic is None else text[len(magic) :].lstrip().removeprefix("--strict ")
        catalog = runner.client.cached_catalog
        if catalog is None and magic is not None and time.monotonic() - last_failure > _RETRY_SECONDS:
            try:
                catalog = runner.client.get_catalog()
            except AizenError:
                last_failure = time.monotonic()
        words = [] if catalog is None or not (magic or runner.plain_text) else list(catalog.completions(line))
        if magic is not None and " " not in line:
            words += [word for word in _SUBCOMMANDS if word.startswith(line)]
        first, _, argument = line.partition(" ")
        if magic is not None and first == "ask" and " " not in argument and catalog is not None:
            words += [role for role in catalog.roles if role.startswith(argument)]
        typed = line.rpartition(" ")[2]
        # IPython replaces only its own token under the cursor, which ends at a comma.
        skip = len(typed) - len(context.token) if typed.endswith(context.token) else 0
        completions = [SimpleCompletion(word[skip:], type="command") for word in words]
        # `import da` can be completed to `import dataset`, but Python's modules must stay on offer.
        is_command = magic is not None or (" " in text and not keyword.iskeyword(first))
        return SimpleMatcherResult(completions=completions, suppress=is_command and bool(completions))

    return complete
