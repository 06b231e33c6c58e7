"""The lock files can be installed by pip, which searches for an extra that has no line there."""

from __future__ import annotations

import re
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

FOLDER = Path(__file__).parents[2] / "requirements"
LOCK_FILES = sorted(FOLDER.rglob("*.txt"))
PIN = re.compile(r"^([A-Za-z0-9._-]+)(?:\[([^\]]*)\])?==", re.MULTILINE)


def read_extras(text: str) -> dict[str, set[str]]:
    """Return the pinned names, each with the extras that are pinned with it."""
    return {
        canonicalize_name(name): {canonicalize_name(extra.strip()) for extra in extras.split(",") if extra}
        for name, extras in PIN.findall(text)
    }


def find_missing_extras(pinned: dict[str, set[str]]) -> set[str]:
    """Return the extras that a pinned package requires of another, and that are not pinned."""
    missing = set()
    for name, extras in pinned.items():
        try:
            texts = metadata.requires(name) or []
        except metadata.PackageNotFoundError:  # of another platform, or of an image
            continue
        for requirement in map(Requirement, texts):
            marker = requirement.marker
            applies = marker is None or any(marker.evaluate({"extra": extra}) for extra in {"", *extras})
            wanted = {canonicalize_name(extra) for extra in requirement.extras}
            target = canonicalize_name(requirement.name)
            if applies and target in pinned and not wanted <= pinned[target]:
                missing.add(str(requirement))
    return missing


@pytest.mark.parametrize("path", LOCK_FILES, ids=lambda path: str(path.relative_to(FOLDER)))
def test_every_extra_is_pinned(path: Path) -> None:
    assert find_missing_extras(read_extras(path.read_text(encoding="utf-8"))) == set()


def test_a_missing_extra_is_found() -> None:
    text = (FOLDER / "test.txt").read_text(encoding="utf-8").replace("jsonschema[format-nongpl]==", "jsonschema==")
    (missing,) = find_missing_extras(read_extras(text))
    assert missing.startswith("jsonschema[format-nongpl]")
