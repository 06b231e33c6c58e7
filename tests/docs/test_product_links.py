"""The links of the product into its documentation lead to a page and a section that exist."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import pytest

from aizen_hub.diagnosis.remedy_pages import remedy_documents, remedy_page
from aizen_hub.service.panel import documentation as served
from aizen_hub.service.panel import documentation_folder
from aizen_hub.service.panel.navigation import HELP

ROOT = Path(__file__).parents[2]
LINKS: Mapping[str, str] = {
    **{f"help of {path}": page for path, page in HELP.items()},
    **{f"remedy of {check}": remedy_page(check) for check in remedy_documents()},
    "first page": documentation_folder.START,
    "problem types": served.PROBLEMS,
}


@pytest.fixture(scope="module")
def sections(documentation: Path) -> Mapping[str, set[str]]:
    """The ids of every page."""
    return {
        page.relative_to(documentation).as_posix(): set(
            re.findall(r"\bid=\"([^\"]+)\"", page.read_text(encoding="utf-8"))
        )
        for page in documentation.rglob("*.html")
    }


def find_fault(link: str, sections: Mapping[str, set[str]]) -> str | None:
    page, _, section = link.partition("#")
    if page not in sections:
        return f"there is no page {page}"
    return f"{page} has no section {section}" if section and section not in sections[page] else None


def test_every_link_leads_to_a_section(sections: Mapping[str, set[str]]) -> None:
    assert len(LINKS) > 100
    faults = {name: fault for name, link in LINKS.items() if (fault := find_fault(link, sections))}
    assert faults == {}
    assert find_fault("docs/doctor.html#nothing", sections)
    assert find_fault("docs/nothing.html", sections)


def test_every_remedy_is_in_a_document_of_the_sources() -> None:
    missing = [path for path in remedy_documents().values() if not (ROOT / path.partition("#")[0]).is_file()]
    assert missing == []
