"""The documentation builds without a warning, and works without the internet."""

from __future__ import annotations

import json
import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

ROOT = Path(__file__).parent.parent.parent


def test_every_document_has_a_page(documentation: Path) -> None:
    documents = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "deploy").rglob("*.md")]
    missing = [
        path for path in documents if not (documentation / path.relative_to(ROOT).with_suffix(".html")).is_file()
    ]
    assert missing == []


def test_nothing_is_loaded_from_elsewhere(documentation: Path) -> None:
    pattern = re.compile(r"<(?:script|link|img|iframe|source)\b[^>]*?\b(?:src|href)=\"(?:https?:)?//[^\"]*\"")
    pages = sorted(documentation.rglob("*.html"))
    assert len(pages) > 20
    assert [(page.name, found) for page in pages for found in pattern.findall(page.read_text(encoding="utf-8"))] == []
    styles = "\n".join(path.read_text(encoding="utf-8") for path in documentation.rglob("*.css"))
    assert re.findall(r"(?:@import|url\()\s*[\"']?(?:https?:)?//", styles) == []


def test_every_link_to_a_page_and_its_section_leads_somewhere(documentation: Path) -> None:
    anchors = {
        page.resolve(): set(re.findall(r"\bid=\"([^\"]+)\"", page.read_text(encoding="utf-8")))
        for page in documentation.rglob("*.html")
    }
    dead = []
    for page in anchors:
        for link in re.findall(r"<a\b[^>]*?\bhref=\"([^\"]+)\"", page.read_text(encoding="utf-8")):
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (page.parent / unquote(parts.path)).resolve() if parts.path else page
            is_dead = not target.is_file() or (parts.fragment and parts.fragment not in anchors.get(target, ()))
            if is_dead and parts.fragment not in ("top", "furo-main-content"):
                dead.append((page.name, link))
    assert dead == []


def test_the_search_index_finds_a_term_in_the_pages_that_have_it(documentation: Path) -> None:
    """The index as a file; tests/service/panel/test_documentation_pages.py searches in a browser."""
    text = (documentation / "searchindex.js").read_text(encoding="utf-8")
    index = json.loads(text.removeprefix("Search.setIndex(").removesuffix(")"))
    pages = index["docnames"]
    assert {"docs/reference/settings", "docs/operations", "docs/doctor", "README"} <= set(pages)

    def find(term: str) -> set[str]:
        found = index["terms"].get(term, [])
        return {pages[number] for number in (found if isinstance(found, list) else [found])}

    assert {"docs/operations", "docs/reference/settings"} <= find("checkpoint")
    assert "docs/operations" not in find("sphinx")
    assert find("nosuchterm") == set()
