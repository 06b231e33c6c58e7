"""Every pattern of the package takes linear time: by its form, and by the clock on the worst input (R92)."""

from __future__ import annotations

import ast
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import aizen_hub

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


def patterns() -> Iterator[tuple[str, str]]:
    """Yield the place and the text of every pattern: given to `re`, or as ``pattern=`` to a model."""
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call):
                continue
            is_re = (
                isinstance(node.func, ast.Attribute)
                and isinstance(node.func.value, ast.Name)
                and node.func.value.id == "re"
                and node.func.attr != "escape"
            )
            found = node.args[:1] if is_re else [one.value for one in node.keywords if one.arg == "pattern"]
            for one in found:
                if isinstance(one, ast.Constant) and isinstance(one.value, str):
                    yield f"{path.relative_to(PACKAGE)}:{one.lineno}", one.value


def nested_repeats(pattern: str) -> bool:
    """Tell whether an unbounded repeat stands inside another, the form that takes exponential time.

    ``(?:\\.[0-9]+)*`` is fine: each round begins with a character that the rest of a round cannot hold.
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
    """Tell whether the body begins with a literal that nothing else in it matches."""
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
            return any(_may_match(one, char) for one in members)
        case (("MAX_REPEAT" | "MIN_REPEAT"), (_, _, body)):
            return any(_may_match(one, char) for one in body)
    return True


FOUND = list(patterns())


def test_the_search_for_patterns_and_the_check_can_fail() -> None:
    assert len(FOUND) > 5
    assert nested_repeats("(a+)+")
    assert nested_repeats("(?:a*b?)*c")
    assert nested_repeats("(a[a-z]+)*")
    assert not nested_repeats("[a-z]+(-[a-z]{1,9}){0,3}")
    assert not nested_repeats(r"[0-9]+(?:\.[0-9]+)*")


@pytest.mark.proves("R92", "T-30")
@pytest.mark.parametrize(("place", "pattern"), FOUND, ids=[place for place, _ in FOUND])
def test_a_pattern_takes_linear_time(place: str, pattern: str) -> None:
    assert not nested_repeats(pattern)
    compiled = re.compile(pattern)
    for seed in _SEEDS:
        text = (seed * 65_536)[:65_535] + "\x00"
        started = time.process_time()
        compiled.fullmatch(text)
        assert time.process_time() - started < 0.1, (place, seed)
