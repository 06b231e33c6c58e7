"""Escaping of untrusted text (R99)."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aizen_hub.validation.printable import escape_nonprintable, excerpt

PACKAGE = Path(__file__).parents[2] / "aizen_hub"
OTHER_IMPLEMENTATIONS = {
    "alerts/message.py": "a blank instead, which a mail header carries",
    "store/audit_log/record.py": "the bytes of rows are hashed and stay as they were",
    "commands/lexer.py": "plain ASCII",
    "notebook/display/text.py": "imports nothing of ours",
}
"""Modules with their own escaping, with the reason."""


@pytest.mark.proves("R99")
@given(st.text(max_size=300), st.integers(min_value=1, max_value=200))
def test_excerpts_are_one_bounded_line_without_backticks(text: str, limit: int) -> None:
    assert escape_nonprintable(text).isprintable()
    shown = excerpt(text, limit)
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
def test_nonprintable_characters_are_escaped(text: str, expected: str) -> None:
    assert escape_nonprintable(text) == expected


def test_escaping_is_implemented_once() -> None:
    modules = {
        str(path.relative_to(PACKAGE)) for path in PACKAGE.rglob("*.py") if _escapes_characters(path.read_text("utf-8"))
    }
    assert modules == {"validation/printable.py", *OTHER_IMPLEMENTATIONS}


def _escapes_characters(source: str) -> bool:
    """Return whether the source builds a text character by character depending on `isprintable`."""
    return any(
        isinstance(node, ast.GeneratorExp)
        and not node.generators[0].ifs
        and isinstance(node.elt, ast.IfExp)
        and "isprintable" in ast.unparse(node.elt.test)
        for node in ast.walk(ast.parse(source))
    )
