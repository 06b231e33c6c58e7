"""Completion of commands from the catalog, behind ``%aizen`` and in plain text."""

from __future__ import annotations

import keyword
import time
from collections.abc import Callable
from typing import Any

from IPython.core.completer import CompletionContext, SimpleCompletion, SimpleMatcherResult, context_matcher

from aizen_hub.notebook.console import Console
from aizen_hub.notebook.errors import AizenError

_MAGICS = ("%aizen ", "%%aizen ")
_OURS = ("ask", "help", "off", "on", "--strict")
_TRY_AGAIN_SECONDS = 30.0


def make_matcher(console: Console) -> Callable[[CompletionContext], Any]:
    """Return a matcher for IPython's completer.

    The catalog is fetched at the first completion behind ``%aizen`` only: a slow service must not slow down the
    completion of Python. After a failure it is left alone for half a minute.
    """
    failed = float("-inf")

    @context_matcher(identifier="aizen")
    def complete(context: CompletionContext) -> SimpleMatcherResult:
        nonlocal failed
        text = context.text_until_cursor.lstrip()
        magic = next((magic for magic in _MAGICS if text.startswith(magic)), None)
        line = text if magic is None else text[len(magic) :].lstrip().removeprefix("--strict ")
        vocabulary = console.client.known_vocabulary
        if vocabulary is None and magic is not None and time.monotonic() - failed > _TRY_AGAIN_SECONDS:
            try:
                vocabulary = console.client.vocabulary()
            except AizenError:
                failed = time.monotonic()
        words = [] if vocabulary is None or not (magic or console.plain_text) else list(vocabulary.completions(line))
        if magic is not None and " " not in line:
            words += [word for word in _OURS if word.startswith(line)]
        first, _, asked = line.partition(" ")
        if magic is not None and first == "ask" and " " not in asked and vocabulary is not None:
            words += [role for role in vocabulary.roles if role.startswith(asked)]
        typed = line.rpartition(" ")[2]
        # IPython replaces only its own idea of the word under the cursor, which ends at a comma.
        skip = len(typed) - len(context.token) if typed.endswith(context.token) else 0
        found = [SimpleCompletion(word[skip:], type="command") for word in words]
        # `import da` may become `import dataset`, but Python's modules are never hidden by that.
        is_command = magic is not None or (" " in text and not keyword.iskeyword(first))
        return SimpleMatcherResult(completions=found, suppress=is_command and bool(found))

    return complete
