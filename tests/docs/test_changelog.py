"""CHANGELOG.md has the form of Keep a Changelog 1.1.0, so that people and programs find what changed."""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path

import pytest

from aizen_hub import __version__

CHANGELOG = (Path(__file__).parents[2] / "CHANGELOG.md").read_text(encoding="utf-8")
KINDS = ["Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"]
RELEASE = re.compile(r"\[(\d+)\.(\d+)\.(\d+)\] - (\d{4}-\d\d-\d\d)")


def find_faults(text: str) -> list[str]:
    """Return what differs from the form, one sentence for each fault."""
    head, *releases = re.split(r"^## ", text, flags=re.MULTILINE)
    faults = [] if head.startswith("# Changelog\n") and "keepachangelog.com" in head else ["the head is another one"]
    names = [release.partition("\n")[0] for release in releases]
    if names[:1] != ["[Unreleased]"]:
        faults.append("what is not released yet is not first")
    versions: list[tuple[tuple[int, ...], date]] = []
    for name in names[1:]:
        if match := RELEASE.fullmatch(name):
            versions.append((tuple(map(int, match.groups()[:3])), date.fromisoformat(match[4])))
        else:
            faults.append(f"{name} is not [version] - date")
    if versions != sorted(versions, reverse=True):
        faults.append("the newest release is not first")
    if versions and tuple(map(int, __version__.split(".")[:3])) < versions[0][0]:
        faults.append(f"the package has version {__version__}, which is older than the newest release")
    for name, release in zip(names, releases, strict=True):
        before, *parts = re.split(r"^### ", release, flags=re.MULTILINE)
        kinds = [part.partition("\n")[0] for part in parts]
        if kinds != [kind for kind in KINDS if kind in kinds]:
            faults.append(
                f"{name} has {', '.join(kinds)} instead of each of {', '.join(KINDS)} at most once, in this order"
            )
        if "\n- " in before:
            faults.append(f"{name} has an entry that is of no kind")
        faults += [
            f"{name} has nothing under {kind}" for kind, part in zip(kinds, parts, strict=True) if "\n- " not in part
        ]
    entries = [" ".join(entry.split()) for entry in re.findall(r"^- (.*(?:\n {2}.*)*)", text, re.MULTILINE)]
    faults += [f"this entry is no sentence: {entry}" for entry in entries if not re.search(r"[.:)]$", entry)]
    faults += [f"this entry is there twice: {entry}" for entry in set(entries) if entries.count(entry) > 1]
    return faults


def test_the_changelog_has_the_form() -> None:
    assert find_faults(CHANGELOG) == []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("# Changelog\n", "# Changes\n"),
        ("## [Unreleased]\n", "## 0.1.0, not released\n"),
        ("### Fixed\n", "### Repaired\n"),
        ("### Fixed\n", "### Fixed\n\n### Removed\n"),
        ("### Added\n", "- A change.\n\n### Added\n"),
        ("### Added\n", "### Added\n\n- A change\n"),
        ("### Added\n", "### Added\n\n- A change.\n- A change.\n"),
        ("## [Unreleased]\n", "## [Unreleased]\n\n## [0.1.0] - 2026-01-01\n\n## [0.2.0] - 2026-02-01\n"),
        ("## [Unreleased]\n", "## [Unreleased]\n\n## [99.0.0] - 2026-02-01\n"),
        ("## [Unreleased]\n", "## [Unreleased]\n\n## [0.1.0]\n"),
    ],
)
def test_another_form_is_found(old: str, new: str) -> None:
    assert find_faults(CHANGELOG.replace(old, new, 1)) != []
