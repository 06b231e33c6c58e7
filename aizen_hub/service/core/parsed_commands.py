"""Cache of parsed command lines: the meaning of a line depends only on the line and the catalog."""

from __future__ import annotations

from functools import lru_cache

from aizen_hub.accounts.names.command_names import canonicalize_names
from aizen_hub.catalogs.catalog import Catalog
from aizen_hub.commands.command import Command
from aizen_hub.commands.parser import parse_command

_MAX_ENTRIES = 4096
_MAX_CACHED_LENGTH = 200


class ParsedCommandCache:
    """The parser of `aizen_hub.commands.parser` with a bounded cache of short lines (R127); errors are not cached."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._cached_parse = lru_cache(_MAX_ENTRIES)(self._parse)

    def parse(self, text: str) -> Command:
        """Parse one line; raises what the parser raises."""
        return self._cached_parse(text) if len(text) <= _MAX_CACHED_LENGTH else self._parse(text)

    def _parse(self, text: str) -> Command:
        # The only place where names become canonical: decision, audit and execution use one spelling (R27, R83).
        return canonicalize_names(parse_command(text, self._catalog))
