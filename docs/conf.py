"""Sphinx configuration. The sources are the Markdown files of the whole repository, so that links work there too."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from pathlib import Path

from sphinx.application import Sphinx
from sphinx.errors import ExtensionError

from aizen_hub import __version__
from aizen_hub.service.panel.documentation import INLINE_HASHES

project = "aizen-hub"
author = "the aizen-hub developers"
project_copyright = "the aizen-hub developers"
version = release = __version__

extensions = ["myst_parser"]
root_doc = "docs/index"
include_patterns = ["*.md", "docs/**.md", "deploy/**.md", "tests/TRACEABILITY.md"]
exclude_patterns = ["aizen_hub", "build", "dist", "**/node_modules", "**/.*"]
myst_heading_anchors = 4
nitpicky = True

# `make links`: each external link is asked once more if it fails, and a section of a page is looked up too.
linkcheck_timeout = 15
linkcheck_retries = 2
linkcheck_workers = 4
linkcheck_rate_limit_timeout = 30
linkcheck_ignore = [r"https?://[a-z0-9.-]*\.example\.org.*", r"https?://(127\.0\.0\.1|localhost|hub\.localhost).*"]

html_theme = "furo"
html_title = "aizen-hub"
html_show_sphinx = False
html_copy_source = False
html_permalinks_icon = "¶"
html_static_path: list[str] = []

_INLINE = {
    "script-src": re.compile(r"<script>(.*?)</script>", re.DOTALL),
    "style-src": re.compile(r"<style>(.*?)</style>", re.DOTALL),
}
_REPLACEMENTS = {
    # Style attributes of the theme's icons, which the policy refuses, as attributes that mean the same.
    ' style="display: none;"': " hidden",
    ' style="opacity: 50%"': ' opacity="0.5"',
    # What the theme lacks for screen readers and for the keyboard (WCAG 2.2, 1.3.1 and 2.1.1).
    '<p class="caption" role="heading">': '<p class="caption" role="heading" aria-level="2">',
    '<aside class="sidebar-drawer">': '<aside class="sidebar-drawer" aria-label="All pages">',
    '<aside class="toc-drawer">': '<aside class="toc-drawer" aria-label="This page">',
    '<div class="table-wrapper ': '<div tabindex="0" class="table-wrapper ',
    "<pre>": '<pre tabindex="0">',
}


def adapt_pages(app: Sphinx, failure: Exception | None) -> None:
    """Let the pages work under a policy that allows no inline code but that of the theme, by its hash."""
    if failure is not None or app.builder.format != "html":
        return
    folder = Path(app.outdir)
    found: dict[str, set[str]] = {directive: set() for directive in _INLINE}
    for page in folder.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        for given, wanted in _REPLACEMENTS.items():
            text = text.replace(given, wanted)
        if " style=" in re.sub(r"<pre.*?</pre>", "", text, flags=re.DOTALL):
            raise ExtensionError(f"{page.name} has a style attribute, which the content security policy refuses")
        page.write_text(text, encoding="utf-8")
        for directive, pattern in _INLINE.items():
            for content in pattern.findall(text):
                digest = hashlib.sha256(content.encode()).digest()
                found[directive].add(f"sha256-{base64.b64encode(digest).decode()}")
    hashes = {directive: sorted(values) for directive, values in found.items()}
    (folder / INLINE_HASHES).write_text(json.dumps(hashes, indent=1) + "\n", encoding="utf-8")


def setup(app: Sphinx) -> None:
    app.connect("build-finished", adapt_pages)
