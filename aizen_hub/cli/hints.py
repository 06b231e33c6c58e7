"""Hints for people who know another system: what its words are called here."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Any

import yaml

_ANY = "<word>"


def find_hint(arguments: Sequence[str], commands: Mapping[str, Collection[str]]) -> str | None:
    """Return how one says here what was typed, or None.

    Parameters
    ----------
    arguments : sequence of str
        The words after ``aizen-hub``.
    commands : mapping of str to collection of str
        Our commands with their subcommands: two words in the wrong order are put right.
    """
    data = _load()
    words = [word.lower() for word in arguments]
    if words and words[0] in data["programs"]:
        words = words[1:]
    for said, instead in _by_length():
        if len(said) <= len(words) and all(part in (_ANY, word) for part, word in zip(said, words, strict=False)):
            return instead
    if len(words) >= 2 and not words[1].startswith("-"):
        verb, noun = words[0], words[1].removesuffix("s")
        if verb in commands.get(noun, ()):
            return f"aizen-hub {noun} {verb}"
    return None


def find_option_hint(option: str, command_path: str) -> str | None:
    """Return what to do instead of an option that a command does not have, or None.

    Parameters
    ----------
    option : str
        With its hyphens.
    command_path : str
        The words of the command, without ``aizen-hub``.
    """
    for hint in _load()["options"]:
        if hint["option"] == option and command_path in hint.get("commands", (command_path,)):
            return str(hint["instead"])
    return None


@cache
def _load() -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load(files(__package__).joinpath("hints.yaml").read_text(encoding="utf-8"))
    return document


@cache
def _by_length() -> tuple[tuple[tuple[str, ...], str], ...]:
    return tuple(sorted(_pairs(), key=lambda pair: -len(pair[0])))


def _pairs() -> Iterator[tuple[tuple[str, ...], str]]:
    for hint in _load()["hints"]:
        for said in hint["say"]:
            yield tuple(said.lower().split()), hint["instead"]
