"""The folder of the documentation, which `make docs` builds into the package."""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).parents[2] / "documentation"
START = "docs/index.html"


def has_documentation() -> bool:
    """Return whether this installation has it: a checkout of the source that has not built it does not."""
    return (FOLDER / START).is_file()
