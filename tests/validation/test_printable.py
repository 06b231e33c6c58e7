"""Text from outside in a line of ours (R99)."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aizen_hub.validation.printable import show, visible

PACKAGE = Path(__file__).parents[2] / "aizen_hub"
ELSEWHERE = {
    "alerts/message.py": "a blank instead, which a mail header carries",
    "audit/row.py": "the bytes of rows are hashed and stay as they were",
    "commands/lexer.py": "plain ASCII",
    "notebook/display.py": "imports nothing of ours",
}
"""Who spells characters out in another way, and why."""


@pytest.mark.proves("R99")
@given(st.text(max_size=300), st.integers(min_value=1, max_value=200))
def test_it_is_one_bounded_line_and_stays_between_its_quotes(text: str, limit: int) -> None:
    assert visible(text).isprintable()
    shown = show(text, limit)
    assert shown.isprintable()
    assert "`" not in shown
    assert len(shown) <= limit * len(r"\U0010ffff")
    assert shown.endswith("…") or len(text) <= limit


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ada", "ada"),
        ("Müller 漢字", "Müller 漢字"),
        ("a\nb\x1b[31m", r"a\nb\x1b[31m"),
        ("\u202eada", r"\u202eada"),
        ("\ud800", r"\ud800"),
        ("\U000e0001", r"\U000e0001"),
    ],
)
def test_what_cannot_be_seen_is_spelt_out(text: str, expected: str) -> None:
    assert visible(text) == expected


def test_everybody_spells_it_in_the_same_way() -> None:
    found = {str(path.relative_to(PACKAGE)) for path in PACKAGE.rglob("*.py") if _spells(path.read_text("utf-8"))}
    assert found == {"visible.py", *ELSEWHERE}


def _spells(source: str) -> bool:
    """Whether a text is put together character by character, by whether each can be seen."""
    return any(
        isinstance(node, ast.GeneratorExp)
        and not node.generators[0].ifs
        and isinstance(node.elt, ast.IfExp)
        and "isprintable" in ast.unparse(node.elt.test)
        for node in ast.walk(ast.parse(source))
    )
