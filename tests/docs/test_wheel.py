"""The wheel contains the documentation that `make docs` has built, although the repository does not."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
IGNORED = shutil.ignore_patterns("documentation", "node_modules", "__pycache__")


def build_wheel(tree: Path) -> set[str]:
    """Build the wheel of a tree of sources; return the names in it."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tree / "dist")]
    subprocess.run(command, cwd=tree, check=True, capture_output=True, timeout=120)
    (wheel,) = (tree / "dist").glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def test_the_documentation_is_in_the_wheel(documentation: Path, tmp_path: Path) -> None:
    for name in ("pyproject.toml", "README.md", "LICENSE", ".gitignore"):
        shutil.copy(ROOT / name, tmp_path / name)
    for name in ("aizen_hub", "lab"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=IGNORED)
    shutil.copytree(documentation, tmp_path / "aizen_hub" / "documentation", ignore=shutil.ignore_patterns("doctrees"))
    built = {path.relative_to(documentation).as_posix() for path in documentation.rglob("*") if path.is_file()}
    assert {"docs/index.html", "inline.json", "searchindex.js"} <= built
    names = build_wheel(tmp_path)
    assert {f"aizen_hub/documentation/{name}" for name in built} <= names


def test_make_wheel_builds_the_documentation_first() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert re.search(r"^wheel: docs\b", makefile, re.MULTILINE)
