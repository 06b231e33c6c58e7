"""All generated pages."""

from __future__ import annotations

from pathlib import Path

from docs.generator.audit_events import build_audit_events_page
from docs.generator.catalogs import CATALOGS, build_catalog_page
from docs.generator.command_line import build_command_line_page, build_manual_page
from docs.generator.http_api import build_http_api_page
from docs.generator.metrics import build_metrics_page
from docs.generator.problems import build_problems_page
from docs.generator.settings import build_settings_page

REFERENCE = Path(__file__).parent.parent / "reference"


def build_pages() -> dict[Path, str]:
    """Return the text of each page by its file."""
    pages = {
        "aizen-hub.1": build_manual_page(),
        "audit-events.md": build_audit_events_page(),
        "command-line.md": build_command_line_page(),
        "http-api.md": build_http_api_page(),
        "metrics.md": build_metrics_page(),
        "problems.md": build_problems_page(),
        "settings.md": build_settings_page(),
    }
    pages |= {f"catalogs/{name}.md": build_catalog_page(name) for name in CATALOGS}
    return {REFERENCE / name: text.rstrip("\n") + "\n" for name, text in pages.items()}
