"""Text for people: printable, escaped, and links to pages only."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aizen_hub.notebook.display.text import escape_unprintable, page_address, prose_html


@given(st.text())
def test_escaped_text_is_one_printable_line(text: str) -> None:
    assert escape_unprintable(text).isprintable()


def test_backticks_become_code() -> None:
    assert prose_html("run `list <x>` or `y`") == "run <code>list &lt;x&gt;</code> or <code>y</code>"
    assert prose_html("an odd ` stays") == "an odd ` stays"


@pytest.mark.parametrize("address", ["javascript:alert(1)", "//evil.example/x", "data:text/html,x", "", None, 3])
def test_other_addresses_are_no_pages(address: object) -> None:
    assert page_address(address) is None
