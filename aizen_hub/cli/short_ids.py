"""Short ids, as in git: the first characters of an id are enough while no other one begins so."""

from __future__ import annotations

import re
from collections.abc import Iterable

import click

from aizen_hub.client.sync_client import SyncClient

_MIN_LENGTH = 4
_WHOLE = re.compile(r"[0-9a-f]{32,}")
_SHOWN = 8


def resolve_id(client: SyncClient, list_path: str, text: str, noun: str) -> str:
    """Return the id in a list of the service that a text stands for; the text itself where none begins so.

    Parameters
    ----------
    list_path : str
        Of a table whose first column holds the ids and whose other columns tell what they are.
    noun : str
        What the ids name, for the message.

    Raises
    ------
    click.UsageError
        Several ids begin so, or the text is too short.
    """
    if _WHOLE.fullmatch(text):
        return text
    rows = [row for row in client.get(list_path)["rows"] if row[0] is not None]
    return choose_id(text, ((str(row[0]), " ".join(str(cell) for cell in row[1:4] if cell)) for row in rows), noun)


def choose_id(text: str, candidates: Iterable[tuple[str, str]], noun: str) -> str:
    """Return the one id that begins with a text; see `resolve_id`.

    Parameters
    ----------
    candidates : iterable of (str, str)
        Ids, and what they are in words.
    """
    found = {item: words for item, words in candidates if item.startswith(text.lower())}
    if text in found or not found:
        return text
    if len(text) < _MIN_LENGTH:
        raise click.UsageError(f"`{text}` is too short: write at least {_MIN_LENGTH} characters of the id")
    if len(found) > 1:
        length = max(_SHOWN, len(text) + 2)
        lines = "".join(f"\n  {item[:length]}  {words}" for item, words in sorted(found.items()))
        raise click.UsageError(f"{len(found)} {noun} begin with `{text}`; write more of the id:{lines}")
    return next(iter(found))
