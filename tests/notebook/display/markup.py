"""What the HTML of an output may hold: no active content, and nothing fetched."""

from __future__ import annotations

import html.parser
import json
from typing import Any

from hypothesis import strategies as st

from aizen_hub.notebook.display.renderable import MIME

NASTY = '<script>alert(1)</script><img src=x onerror="x">\x1b[31m\u202egnp.\r\n\x00`<b>`'
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
_TAGS = {
    "div",
    "span",
    "b",
    "table",
    "thead",
    "tbody",
    "tr",
    "th",
    "td",
    "br",
    "code",
    "details",
    "summary",
    "a",
    "style",
}
_ATTRIBUTES = {"style", "href", "target", "rel"}


class Tags(html.parser.HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += [(name, value or "") for name, value in attrs]


def check(output: Any, *more_types: str) -> dict[str, Any]:
    """Return the representations of an output, after checking them."""
    bundle: dict[str, Any] = output._repr_mimebundle_()
    assert set(bundle) == {"text/plain", "text/html", MIME, *more_types}
    json.dumps({name: value for name, value in bundle.items() if name.endswith("json")})
    tags = Tags()
    tags.feed(bundle["text/html"])
    assert tags.tags <= _TAGS
    assert {name for name, _ in tags.attributes} <= _ATTRIBUTES
    for name, value in tags.attributes:
        assert name != "href" or value.startswith(("https://", "http://", "/"))
        assert name != "style" or not ("url(" in value or "expression" in value)
    assert all(char.isprintable() or char == "\n" for char in bundle["text/plain"])
    return bundle
