"""The built documentation in Chromium, as the service serves it: accessible, no error of its policy, searchable."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from aizen_hub.diagnosis.remedy_pages import remedy_page
from aizen_hub.service.panel import documentation as served
from aizen_hub.service.panel import documentation_folder
from tests.fixtures.browser.panel import PanelBrowser
from tests.fixtures.documentation import documentation
from tests.service.panel.window import PREFIX

__all__ = ["documentation"]

pytestmark = [pytest.mark.needs("browser", "axe"), pytest.mark.slow]
PAGES = (
    "docs/index",
    "README",
    "docs/panel",
    "docs/how-to/kubernetes",
    "docs/architecture",
    "docs/security/requirements",
    "docs/reference/settings",
    "docs/reference/problems",
    "docs/reference/catalogs/aizen",
)
"""Pages of each kind: pictures, commands, diagrams, wide tables, long lists. All others have the same parts."""


@pytest.fixture(autouse=True)
def installed(documentation: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(documentation_folder, "FOLDER", documentation)
    for function in (served._files, served._read_file, served._headers):
        function.cache_clear()
    yield
    for function in (served._files, served._read_file, served._headers):
        function.cache_clear()


@pytest.mark.parametrize("page", PAGES)
def test_a_page_is_accessible_in_both_themes_and_narrow(browser: PanelBrowser, page: str) -> None:
    browser.check(f"docs/{page}.html", "eve")


def test_the_search_works_without_the_internet(browser: PanelBrowser) -> None:
    page = browser.open("docs/docs/index.html", "eve").page
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.get_by_role("textbox", name="Search").first.fill("checkpoint")
    page.keyboard.press("Enter")
    page.get_by_role("link", name="Settings").first.wait_for()
    own = "{0.scheme}://{0.netloc}/".format(urlsplit(page.url))
    assert any(address.endswith("searchindex.js") or "searchindex.js?" in address for address in asked)
    assert [address for address in asked if not address.startswith((own, "data:"))] == []


def test_a_page_of_the_panel_leads_to_its_explanation(browser: PanelBrowser) -> None:
    page = browser.open("system", "boss").page
    page.locator("button[popovertarget=user-menu]").click()
    page.locator("#user-menu").get_by_role("link", name="Help").click()
    page.get_by_role("heading", name="Monitoring", level=1).wait_for()


def test_a_finding_of_the_system_page_leads_to_its_remedy(browser: PanelBrowser) -> None:
    page = browser.open("system", "boss").page
    finding = page.locator("#checks li", has_text="no core is configured")
    assert finding.get_by_role("link").get_attribute("href") == f"{PREFIX}docs/{remedy_page('core')}"
    finding.get_by_role("link").click()
    page.locator("section#core").wait_for()


def test_the_theme_can_be_switched(browser: PanelBrowser) -> None:
    page = browser.open("docs/docs/index.html", "eve").page
    page.locator("button.theme-toggle:visible").first.click()
    assert page.evaluate("document.body.dataset.theme") in ("light", "dark")
