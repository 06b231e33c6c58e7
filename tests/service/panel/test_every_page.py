"""Every page of the panel: each one of the table of routes in Chromium, with hostile stored texts and live links."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import urljoin

import pytest

from tests.fixtures.browser.panel import PanelBrowser, PanelPage, PanelService
from tests.service.panel import every_page
from tests.service.panel.every_page import INJECTED, PAGES, PARTS, PROBLEMS, address, page_routes
from tests.service.panel.window import PREFIX

seed = every_page.seed
ADDRESSES = [*(page for pages in PAGES.values() for page in pages), *PROBLEMS]

HOSTILE_FAULTS = """(injected) => {
  const faults = [...document.getElementsByClassName(injected)].map((element) => `markup: ${element.outerHTML}`);
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    if (!/[\\u202a-\\u202e\\u2066-\\u2069]/.test(node.data) || node.parentElement.closest("option, textarea")) continue;
    let element = node.parentElement;
    const style = (of) => getComputedStyle(of);
    while (!style(element).unicodeBidi.startsWith("isolate") && style(element).display === "inline") {
      element = element.parentElement;
    }
    if (element.textContent.trim() !== node.data.trim()) {
      faults.push(`turns its neighbours: ${element.outerHTML.slice(0, 200)}`);
    }
  }
  return faults;
}"""
"""A text that turns the direction of writing must have a `bdi`, or a block, of its own."""

FORMS_WITHOUT_BUTTON = """() => [...document.querySelectorAll("main form")]
  .filter((form) => ![...form.elements].some((element) => element.type === "submit"))
  .map((form) => form.action)"""


@pytest.fixture(scope="module")
def pages_panel(panel: PanelService) -> PanelService:
    every_page.run_commands(panel)
    return panel


@pytest.fixture(scope="module")
def windows(pages_panel: PanelService, chromium: Any) -> Iterator[tuple[PanelPage, PanelPage]]:
    """Two windows of Chromium, without and with JavaScript: new ones for each page take longer."""
    opened = PanelBrowser(chromium, pages_panel)
    yield opened.open("me", "eve", javascript=False), opened.open("me", "eve")
    opened.close()


def sign_in(window: PanelPage, user: str) -> None:
    """Let a window be that of another user."""
    cookies = window.panel.window(user).cookies.items()
    window.page.context.clear_cookies()
    window.page.context.add_cookies(
        [{"name": name, "value": value, "url": window.panel.url} for name, value in cookies if value]
    )


def test_each_page_has_an_entry() -> None:
    assert {route.path for route in page_routes()} == PAGES.keys() | PARTS.keys()


@pytest.mark.needs("browser", "axe")
@pytest.mark.slow
@pytest.mark.proves("R118")
@pytest.mark.parametrize(("text", "user"), ADDRESSES)
def test_a_page(windows: tuple[PanelPage, PanelPage], text: str, user: str) -> None:
    """Check a page without script, wide and light, and dark at 320 px."""
    path = address(text)
    for window in windows:
        sign_in(window, user)
    plain = windows[0].open(path).page
    title = plain.locator("h1").inner_text()
    assert title
    assert plain.evaluate(FORMS_WITHOUT_BUTTON) == [], "a form cannot be sent without script"

    opened = windows[1]
    opened.complaints.clear()
    page = opened.page
    page.emulate_media(color_scheme="light")
    page.set_viewport_size({"width": 1280, "height": 900})
    opened.open(path)
    assert page.locator("h1").all_inner_texts() == [title]
    assert page.evaluate(HOSTILE_FAULTS, INJECTED) == []
    assert page.locator("html").get_attribute("data-bs-theme") == "light"
    opened.check()

    page.emulate_media(color_scheme="dark")
    page.set_viewport_size({"width": 320, "height": 900})
    page.wait_for_selector("html[data-bs-theme=dark]")
    opened.check()


def test_no_link_is_dead(pages_panel: PanelService) -> None:
    """Follow each link of each page as the user who sees it."""
    links: dict[tuple[str, str], str] = {}
    for text, user in [*(page for pages in PAGES.values() for page in pages), *PARTS.values()]:
        path = address(text)
        response = pages_panel.run(pages_panel.window(user).get(path))
        assert response.status in (200, 303), (path, user, response.status)
        body = response.body.decode(errors="replace")
        ids = set(re.findall(r' id="([^"]+)"', body))
        for value in re.findall(r'<a [^>]*href="([^"]*)"', body):
            target, _, fragment = urljoin(PREFIX + path, html.unescape(value)).partition("#")
            if fragment and target in (PREFIX + path, PREFIX + path.partition("?")[0]):
                assert fragment in ids, (path, user, value)
            if target.startswith(PREFIX):
                links.setdefault((user, target.removeprefix(PREFIX)), path)
    dead = {
        (user, target): path
        for (user, target), path in links.items()
        if pages_panel.run(pages_panel.window(user).get(target)).status >= 400
    }
    assert dead == {}


def test_opening_a_page_changes_nothing(pages_panel: PanelService) -> None:
    """Each committed change has a revision of its own; a preview is rolled back."""

    def revision() -> int:
        with pages_panel.store.read() as tx:
            return tx.revision

    changed = []
    for text, user in [*(page for pages in PAGES.values() for page in pages), *PARTS.values()]:
        window = pages_panel.window(user)  # a sign-in may register a user
        before = revision()
        pages_panel.run(window.get(address(text)))
        if revision() != before:
            changed.append((text, user))
    assert changed == []
