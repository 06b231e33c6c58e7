"""Text for people: printable, escaped, with `code` in the style of the front end."""

from __future__ import annotations

import html
import re
from typing import Any

FONT = "font-family:var(--jp-ui-font-family);font-size:var(--jp-ui-font-size1);color:var(--jp-ui-font-color1)"
FAINT = "color:var(--jp-ui-font-color2);font-size:var(--jp-ui-font-size0)"
_CODE = re.compile(r"`([^`]+)`")
_PAGE = re.compile(r"(?:https?://|/(?!/)).*", re.DOTALL)


def escape_unprintable(text: str, *, keep_lines: bool = False) -> str:
    """Escape unprintable characters, such as terminal control codes and bidirectional overrides."""
    return "".join(
        char
        if char.isprintable() or (keep_lines and char == "\n")
        else char.encode("unicode_escape", "backslashreplace").decode()
        for char in text
    )


def escape_html(text: str, *, keep_lines: bool = False) -> str:
    """Return text as HTML, every character of it as itself."""
    return html.escape(escape_unprintable(text, keep_lines=keep_lines)).replace("\n", "<br>")


def prose_html(text: str, *, keep_lines: bool = False) -> str:
    """Return a sentence as HTML; what is in backticks becomes ``<code>``."""
    return _CODE.sub(r"<code>\1</code>", escape_html(text, keep_lines=keep_lines))


def page_address(value: Any) -> str | None:
    """Return the address of a web page, absolute or on the same host; None for anything else."""
    return value if isinstance(value, str) and _PAGE.fullmatch(value) else None


def link_html(address: str | None, label: str) -> str:
    """Return a link to a page; the empty string without an address."""
    if address is None:
        return ""
    return f'<a href="{escape_html(address)}" target="_blank" rel="noopener">{escape_html(label)}</a>'
