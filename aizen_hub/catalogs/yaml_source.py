"""YAML files that people write, read with the line of every key, so that a fault can name its place."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from yaml.reader import ReaderError

MAX_NODES = 200_000
_MAX_DEPTH = 24
_PLAIN = frozenset({"tag:yaml.org,2002:map", "tag:yaml.org,2002:seq"})

Place = tuple[str | int, ...]


class SourceError(ValueError):
    """A file that cannot be used; the message names file, line and fix, one fault per line."""


@dataclass(frozen=True, slots=True)
class Source:
    """Plain data and where each part of it stands.

    Attributes
    ----------
    data : dict
        Strings, numbers, booleans, dates, lists and mappings, nothing else.
    places : dict of tuple to tuple of str and int
        File and line (from 1) of the value under each path of keys and indices.
    """

    data: dict[str, Any]
    places: dict[Place, tuple[str, int]] = field(default_factory=dict)

    def at(self, *path: str | int) -> str:
        """Return ``file:line`` of the deepest known part of ``path``."""
        for end in range(len(path), -1, -1):
            if path[:end] in self.places:
                file, line = self.places[path[:end]]
                return f"{file}:{line}"
        return "catalog"


def read_source(path: Path) -> Source:
    """Read one YAML file; SourceError when it is missing, not YAML, or holds a key twice."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise SourceError(f"{path}: no such file: check the path") from None
    except (OSError, UnicodeDecodeError) as error:
        raise SourceError(f"{path}: cannot be read: {error}") from None
    return parse_source(text, str(path))


def parse_source(text: str, file: str) -> Source:
    """Read YAML text; the top must be a mapping with text keys.

    Not with libyaml, though it is ten times as fast: it takes other files (a tab before a value), and its errors do not
    say which character is the wrong one.
    """
    try:
        loader = yaml.SafeLoader(text)
    except ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise SourceError(f"{file}:{line}: not YAML: U+{error.character:04X} may not stand there") from None
    try:
        node = loader.get_single_node()
        if node is None:
            return Source({}, {(): (file, 1)})
        if not isinstance(node, yaml.MappingNode):
            raise SourceError(f"{file}:1: expected `key: value` pairs at the top")
        builder = _Builder(file, loader)
        data = builder.build(node, ())
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 1 if mark else 1
        what = getattr(error, "problem", None) or str(error)
        raise SourceError(f"{file}:{line}: not YAML: {what}") from None
    except ValueError as error:  # a date such as 2026-13-45 passes the grammar of YAML and fails in the calendar
        raise SourceError(f"{error}" if isinstance(error, SourceError) else f"{file}: {error}") from None
    except RecursionError:
        raise SourceError(f"{file}:{loader.line + 1}: too deep: split the file") from None
    finally:
        loader.dispose()
    return Source(data, builder.places)


class _Builder:
    def __init__(self, file: str, loader: yaml.SafeLoader) -> None:
        self.file = file
        self.loader = loader
        self.places: dict[Place, tuple[str, int]] = {}

    def build(self, node: yaml.Node, place: Place) -> Any:
        line = node.start_mark.line + 1
        # An alias is visited once per use: the count bounds what a few lines of anchors could unfold to.
        if len(self.places) > MAX_NODES or len(place) > _MAX_DEPTH:
            raise SourceError(f"{self.file}:{line}: too large or too deep: split the file, or use fewer aliases")
        self.places[place] = (self.file, line)
        if not isinstance(node, yaml.ScalarNode) and node.tag not in _PLAIN:
            raise SourceError(f"{self.file}:{line}: the tag `{node.tag[:80]}` has no meaning here: remove it")
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, place)
        if isinstance(node, yaml.SequenceNode):
            return [self.build(item, (*place, index)) for index, item in enumerate(node.value)]
        return self.loader.construct_object(node)

    def _mapping(self, node: yaml.MappingNode, place: Place) -> dict[str, Any]:
        out: dict[str, Any] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if not isinstance(key_node, yaml.ScalarNode):
                raise SourceError(f"{self.file}:{line}: a key must be plain text")
            key = key_node.value
            if key in out:
                first = self.places[(*place, key)][1]
                raise SourceError(
                    f"{self.file}:{line}: the key `{key[:80]}` stands also in line {first}: remove one of them"
                )
            out[key] = self.build(value_node, (*place, key))
            self.places[(*place, key)] = (self.file, line)
        return out
