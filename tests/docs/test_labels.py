"""What a guide writes in italics is the name of a page, a button or a part of one, and it is there under that name."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
GUIDES = [
    *sorted((ROOT / "docs" / "how-to").glob("*.md")),
    *(
        ROOT / "docs" / name
        for name in ("tutorial.md", "panel.md", "notebooks.md", "jupyterlab.md", "access-reviews.md")
    ),
]
_OF_JUPYTER = {"Run All Cells"}
_LABEL = re.compile(r"(?<![*\w])\*([^*\s][^*]*?)\*(?![*\w])")


def _shown_texts() -> Iterator[str]:
    for folder, pattern in (("service/panel", "*.html"), ("service/panel", "*.py"), ("hub/templates", "*.html")):
        for path in (ROOT / "aizen_hub" / folder).rglob(pattern):
            yield path.read_text(encoding="utf-8")
    for path in (ROOT / "lab" / "src").rglob("*.ts*"):
        yield path.read_text(encoding="utf-8")


def _labels(path: Path) -> set[str]:
    prose = re.sub(r"```.*?```|`[^`]*`", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
    return {" ".join(label.split()) for label in _LABEL.findall(prose)} - _OF_JUPYTER


def test_every_label_of_a_guide_is_on_a_page() -> None:
    shown = "\n".join(_shown_texts())

    def is_shown(label: str) -> bool:
        return re.sub(r"\b[A-Z]+_[A-Z]+\b", "{role}", label).rstrip("… ") in shown

    labels = {(path.name, label) for path in GUIDES for label in _labels(path)}
    assert len(labels) > 60
    assert sorted((name, label) for name, label in labels if not is_shown(label)) == []
    assert not is_shown("Others may find it")
