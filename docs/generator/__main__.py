"""``python -m docs.generator``: write the pages of the reference that are made from the code."""

from __future__ import annotations

from docs.generator.pages import build_pages

for path, text in build_pages().items():
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
