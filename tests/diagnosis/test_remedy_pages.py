"""Every finding has a section of the documentation that explains its remedy."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import yaml

from aizen_hub.diagnosis import remedy_pages

ROOT = Path(__file__).parents[2]


def documented_findings() -> set[str]:
    """Return the ids in docs/doctor.md; tests/cli/doctor/test_checks.py compares that list with the code."""
    text = (ROOT / "docs" / "doctor.md").read_text(encoding="utf-8")
    rows = [line for line in text.splitlines() if re.match(r"\| [a-z ]+ \| `", line)]
    findings = {name for row in rows if "--" not in row for name in re.findall(r"`([a-z-]+)`", row.split("|")[2])}
    return findings | {"not-checked"}


def test_every_finding_has_one_page() -> None:
    table = yaml.safe_load(Path(remedy_pages.__file__).with_name("remedy_pages.yaml").read_text(encoding="utf-8"))
    listed = Counter(check for checks in table.values() for check in checks)
    assert [check for check, number in listed.items() if number > 1] == []
    assert len(listed) > 90
    assert set(listed) == documented_findings()
    assert set(remedy_pages.remedy_documents()) == set(listed)


def test_the_address_of_a_page() -> None:
    assert remedy_pages.remedy_page("key-file-missing") == "docs/operations.html#a-lost-key"
    assert remedy_pages.remedy_page("catalog") == "docs/explanation/catalogs.html"
