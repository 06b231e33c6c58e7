"""Every regular expression of the package takes linear time, by its structure and as measured (R92)."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import aizen_hub
from tests.fixtures.timing import cpu_within

PACKAGE = Path(aizen_hub.__file__).parent
_UNBOUNDED = re._constants.MAXREPEAT  # type: ignore[attr-defined]
_SEEDS = (
    "a",
    "A",
    "0",
    " ",
    "-",
    "_",
    ".",
    ":",
    "/",
    "@",
    "+",
    "=",
    ",",
    "<",
    "[",
    "%",
    "é",
    "a-",
    "a.",
    "a@",
    "a ",
    "0 ",
)


def find_patterns() -> Iterator[tuple[str, str]]:
    """Yield location and text of every pattern that is passed to `re`, or as ``pattern=`` to a model."""
    for path in sorted(PACKAGE.rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        if "import re\n" not in text and "pattern=" not in text:  # parsing all files takes seconds
            continue
        for node in ast.walk(ast.parse(text)):
            if not isinstance(node, ast.Call):
                continue
            is_re = (
                isinstance(node.func, ast.Attribute)
                and isinstance(node.func.value, ast.Name)
                and node.func.value.id == "re"
                and node.func.attr != "escape"
            )
            arguments = (
                node.args[:1] if is_re else [argument.value for argument in node.keywords if argument.arg == "pattern"]
            )
            for argument in arguments:
                if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
                    yield f"{path.relative_to(PACKAGE)}:{argument.lineno}", argument.value


def nested_repeats(pattern: str) -> bool:
    """Return whether an unbounded repeat is nested in another, which takes exponential time.

    ``(?:\\.[0-9]+)*`` is fine: each round starts with a character that the rest of a round cannot match.
    """
    return _nested(re._parser.parse(pattern), False)  # type: ignore[attr-defined]


def _nested(items: Any, inside: bool) -> bool:
    for op, value in items:
        match str(op), value:
            case (("MAX_REPEAT" | "MIN_REPEAT"), (_, high, body)):
                unbounded = high == _UNBOUNDED
                if (inside and unbounded) or _nested(body, inside or (unbounded and not _fenced(body))):
                    return True
            case "SUBPATTERN", (*_, body) if _nested(body, inside):
                return True
            case "BRANCH", (_, bodies) if any(_nested(body, inside) for body in bodies):
                return True
            case (("ASSERT" | "ASSERT_NOT"), (_, body)) if _nested(body, inside):
                return True
    return False


def _fenced(body: Any) -> bool:
    """Return whether the body starts with a literal that nothing else in it matches."""
    if len(body) == 1 and str(body[0][0]) == "SUBPATTERN":
        return _fenced(body[0][1][-1])
    (first, fence), *rest = body
    return str(first) == "LITERAL" and not any(_may_match(item, fence) for item in rest)


def _may_match(item: Any, char: int) -> bool:
    match str(item[0]), item[1]:
        case "LITERAL", value:
            return bool(value == char)
        case "RANGE", (low, high):
            return bool(low <= char <= high)
        case "IN", members:
            return any(_may_match(member, char) for member in members)
        case (("MAX_REPEAT" | "MIN_REPEAT"), (_, _, body)):
            return any(_may_match(member, char) for member in body)
    return True


PATTERNS = list(find_patterns())


def test_the_search_for_patterns_and_the_check_can_fail() -> None:
    assert len(PATTERNS) > 5
    assert nested_repeats("(a+)+")
    assert nested_repeats("(?:a*b?)*c")
    assert nested_repeats("(a[a-z]+)*")
    assert not nested_repeats("[a-z]+(-[a-z]{1,9}){0,3}")
    assert not nested_repeats(r"[0-9]+(?:\.[0-9]+)*")


@pytest.mark.proves("R92", "T-30")
@pytest.mark.parametrize(("place", "pattern"), PATTERNS, ids=[place for place, _ in PATTERNS])
def test_a_pattern_takes_linear_time(place: str, pattern: str) -> None:
    assert not nested_repeats(pattern)
    compiled = re.compile(pattern)
    for seed in _SEEDS:
        text = (seed * 65_536)[:65_535] + "\x00"
        with cpu_within(0.5):  # 3 ms; several seconds if the time were quadratic
            compiled.fullmatch(text)
