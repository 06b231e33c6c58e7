"""YAML files parsed with the line number of every key, for error messages."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from yaml.reader import ReaderError

MAX_NODES = 200_000
_MAX_DEPTH = 24
_PLAIN_TAGS = frozenset({"tag:yaml.org,2002:map", "tag:yaml.org,2002:seq"})

KeyPath = tuple[str | int, ...]

if TYPE_CHECKING:
    _Loader = yaml.SafeLoader | yaml.CSafeLoader
# PyYAML can be built without libyaml.
_FAST_LOADER: type[_Loader] = yaml.CSafeLoader if yaml.__with_libyaml__ else yaml.SafeLoader


class SourceError(ValueError):
    """An invalid file; one fault per line, each with file, line and remedy."""


@dataclass(frozen=True, slots=True)
class Source:
    """Plain data with the location of each part.

    Attributes
    ----------
    data : dict
        Strings, numbers, booleans, dates, lists and mappings, nothing else.
    locations : dict of tuple to tuple of str and int
        File and line (from 1) of the value under each path of keys and indices.
    """

    data: dict[str, Any]
    locations: dict[KeyPath, tuple[str, int]] = field(default_factory=dict)

    def location(self, *path: str | int) -> str:
        """Return ``file:line`` of the deepest part of ``path`` that has a location."""
        for end in range(len(path), -1, -1):
            if path[:end] in self.locations:
                file, line = self.locations[path[:end]]
                return f"{file}:{line}"
        return "catalog"


def read_source(path: Path, *, is_ours: bool = False) -> Source:
    """Read one YAML file; SourceError if it is missing, not YAML, or repeats a key.

    Parameters
    ----------
    is_ours : bool
        Whether the file is part of the package: then libyaml reads it, which is ten times as fast. It accepts other
        files too (a tab before a value), and its errors do not name the invalid character.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise SourceError(f"{path}: no such file: check the path") from None
    except (OSError, UnicodeDecodeError) as error:
        raise SourceError(f"{path}: cannot be read: {error}") from None
    return _parse(text, str(path), _FAST_LOADER if is_ours else yaml.SafeLoader)


def parse_source(text: str, file: str) -> Source:
    """Parse YAML text; the top level must be a mapping with text keys."""
    return _parse(text, file, yaml.SafeLoader)


def _parse(text: str, file: str, loader_class: type[_Loader]) -> Source:
    try:
        loader = loader_class(text)
    except ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise SourceError(f"{file}:{line}: not YAML: the character U+{error.character:04X} is not allowed") from None
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
        problem = getattr(error, "problem", None) or str(error)
        raise SourceError(f"{file}:{line}: not YAML: {problem}") from None
    except ValueError as error:  # an impossible date, such as 2026-13-45, is valid YAML
        raise SourceError(f"{error}" if isinstance(error, SourceError) else f"{file}: {error}") from None
    except RecursionError:
        line = getattr(loader, "line", 0) + 1  # which libyaml does not say
        raise SourceError(f"{file}:{line}: too deep: split the file") from None
    finally:
        loader.dispose()
    return Source(data, builder.locations)


class _Builder:
    def __init__(self, file: str, loader: _Loader) -> None:
        self.file = file
        self.loader = loader
        self.locations: dict[KeyPath, tuple[str, int]] = {}

    def build(self, node: yaml.Node, path: KeyPath) -> Any:
        line = node.start_mark.line + 1
        # An alias is visited once per use: the count bounds what nested anchors could expand to.
        if len(self.locations) > MAX_NODES or len(path) > _MAX_DEPTH:
            raise SourceError(f"{self.file}:{line}: too large or too deep: split the file, or use fewer aliases")
        self.locations[path] = (self.file, line)
        if not isinstance(node, yaml.ScalarNode) and node.tag not in _PLAIN_TAGS:
            raise SourceError(f"{self.file}:{line}: the tag `{node.tag[:80]}` is not supported: remove it")
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self.build(item, (*path, index)) for index, item in enumerate(node.value)]
        return self.loader.construct_object(node)

    def _mapping(self, node: yaml.MappingNode, path: KeyPath) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if not isinstance(key_node, yaml.ScalarNode):
                raise SourceError(f"{self.file}:{line}: a key must be plain text")
            key = key_node.value
            if key in result:
                first = self.locations[(*path, key)][1]
                raise SourceError(
                    f"{self.file}:{line}: the key `{key[:80]}` is also in line {first}: remove one of them"
                )
            result[key] = self.build(value_node, (*path, key))
            self.locations[(*path, key)] = (self.file, line)
        return result
