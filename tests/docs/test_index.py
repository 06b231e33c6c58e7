"""The tables "where to read on" of README.md and docs/index.md name every guide, for the same readers."""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).parents[2]
README, INDEX = ROOT / "README.md", ROOT / "docs" / "index.md"
GUIDES = {*(ROOT / "docs" / "how-to").glob("*.md"), *(ROOT / "deploy").glob("*/README.md")}
REACHED_FROM_A_GUIDE = {ROOT / "deploy" / "tljh" / "README.md"}
"""Recipes that only say which guide uses their files."""


def read_table(document: Path) -> dict[str, set[Path]]:
    """Return the pages that a document names for each reader."""
    pages: defaultdict[str, set[Path]] = defaultdict(set)
    for line in document.read_text(encoding="utf-8").splitlines():
        if line.startswith("| ") and (links := re.findall(r"\]\(([^)#]+\.md)(?:#[^)]*)?\)", line)):
            pages[line.split("|")[1].strip()] |= {(document.parent / link).resolve() for link in links}
    return dict(pages)


def test_the_index_names_every_guide() -> None:
    assert GUIDES - set().union(*read_table(INDEX).values()) == REACHED_FROM_A_GUIDE


def test_both_tables_name_the_same_pages_for_each_reader() -> None:
    readme, index = read_table(README), read_table(INDEX)
    assert index.keys() <= readme.keys()
    assert {reader: readme[reader] ^ pages for reader, pages in index.items() if readme[reader] != pages} == {}
    guides_of_the_readme = GUIDES & set().union(*readme.values())
    assert guides_of_the_readme == GUIDES - REACHED_FROM_A_GUIDE


def test_operators_find_each_task() -> None:
    (row,) = [line for line in INDEX.read_text(encoding="utf-8").splitlines() if "| keep it running |" in line]
    for section in ("back-up", "restore", "upgrade", "rotate-the-keys", "a-lost-key"):
        assert f"operations.md#{section}" in row
