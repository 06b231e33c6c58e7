"""The sections of the documentation that explain the remedies of findings."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.resources import files

import yaml


@cache
def remedy_documents() -> Mapping[str, str]:
    """Return the document, as a path of the sources, with its section for every id of a finding."""
    text = files("aizen_hub.diagnosis").joinpath("remedy_pages.yaml").read_text(encoding="utf-8")
    return {check: document for document, checks in yaml.safe_load(text).items() for check in checks}


def remedy_page(check: str) -> str:
    """Return the page that explains the remedy of a finding, with its section, below ``/services/aizen/docs/``."""
    path, hash_sign, section = remedy_documents()[check].partition("#")
    return f"{path.removesuffix('.md')}.html{hash_sign}{section}"
