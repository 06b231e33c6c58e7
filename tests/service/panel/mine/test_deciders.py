"""The form of a request names who would decide, to those who may know them."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from aizen_hub.accounts.projects import profile
from aizen_hub.accounts.roles import assignments
from aizen_hub.rbac.identity import Identity
from aizen_hub.store.transaction import WriteTransaction
from tests.fixtures.browser.panel import PanelBrowser, PanelService
from tests.service.panel.projects.objects import words

NOT_TOLD = "Their names are shown to people with a role there."


def seed(tx: WriteTransaction) -> None:
    profile.update_profile(tx, "p2", description="", listed=True)
    assignments.unauthorized_write_assignment(tx, "PROJECT_ADMIN", "p1", Identity.user("zoe"))


def line(panel: PanelService, user: str, query: str, page: str = "me/ask/deciders") -> str:
    match = re.search(r'<p[^>]* id="deciders".*?</p>', panel.get(user, f"{page}?{query}"), re.DOTALL)
    assert match is not None
    return words(match[0])


@pytest.mark.proves("R72")
@pytest.mark.parametrize(
    ("user", "query", "told"),
    [
        ("rob", "project=p1&role=PROJECT_EXECUTOR", "ada or Z zoe"),
        ("zoe", "project=p1&role=PROJECT_EXECUTOR", "ada"),
        ("nil", "role=PROJECT_CREATOR", "boss"),
        ("nil", "project=p1&role=PROJECT_READER", NOT_TOLD),
        ("nil", "project=p2&role=PROJECT_READER", NOT_TOLD),
        ("nil", "project=nowhere&role=PROJECT_READER", NOT_TOLD),
        ("rob", "project=p1", "Those who can give the role decide"),
        ("rob", "project=p1&role=KING", "Those who can give the role decide"),
        ("rob", "role=PROJECT_READER", "Those who can give the role decide"),
    ],
)
def test_who_decides(panel: PanelService, user: str, query: str, told: str) -> None:
    assert told in line(panel, user, query)
    assert line(panel, user, query, "me/ask") == line(panel, user, query), (
        "a link that fills in the form tells the same"
    )


def test_a_sent_request_names_them(panel: PanelService) -> None:
    form = {"project": "p1", "role": "PROJECT_EXECUTOR", "because": "", "until": "8h"}
    assert panel.post("rob", "me/ask", form).status == 303
    assert re.search(r"Your request was sent to [a-z, ]*ada", panel.get("rob", "me/requests"))
    assert panel.post("nil", "me/ask", form).status == 303
    assert "Your request was sent to those who can approve it." in panel.get("nil", "me/requests")


@pytest.mark.needs("browser", "axe")
def test_it_follows_what_is_chosen(panel: PanelService, browser: PanelBrowser) -> None:
    opened = browser.open("me/ask", "rob")
    page = opened.page
    page.get_by_label("Project", exact=True).fill("p1")
    page.get_by_label("Role", exact=True).select_option("PROJECT_ADMIN")
    expect(page.locator("#deciders")).to_contain_text("ada")
    page.get_by_label("Project", exact=True).fill("p2")
    page.get_by_label("Reason").fill("to look")
    expect(page.locator("#deciders")).to_contain_text(NOT_TOLD)
    opened.check()
