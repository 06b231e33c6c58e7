"""Reads command lines, and remembers short ones: what a line means depends on nothing but the line and the catalog."""

from __future__ import annotations

from functools import lru_cache

from aizen_hub.accounts.names.command_names import settle
from aizen_hub.catalogs.catalog import Catalog
from aizen_hub.commands.command import Command
from aizen_hub.commands.parser import read

_REMEMBERED = 4096
_LONGEST = 200


class Reader:
    """The parser of `aizen_hub.commands.parser` with a bounded memory (R127); a refusal is not remembered."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._remember = lru_cache(_REMEMBERED)(self._read)

    def read(self, text: str) -> Command:
        """Read one line; raises what the parser raises."""
        return self._remember(text) if len(text) <= _LONGEST else self._read(text)

    def _read(self, text: str) -> Command:
        # Settled here and nowhere else, so that what is decided, recorded and carried out is one spelling (R27, R83).
        return settle(read(text, self._catalog))
