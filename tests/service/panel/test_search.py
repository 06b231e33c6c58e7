"""Search and suggestions: what is found, in which order, by whom (R72), and questions typed into the search."""

from __future__ import annotations

import re

import pytest

from aizen_hub.accounts.groups import management
from aizen_hub.accounts.users import registration
from aizen_hub.store.transaction import WriteTransaction
from tests.fixtures.browser.panel import PanelBrowser, PanelService
from tests.service.panel.window import PREFIX

HOSTILE = "<b>bold</b> name"


def seed(tx: WriteTransaction) -> None:
    for name, display_name in (("evelyn", "Evelyn Ada"), ("steve", ""), ("hostile", HOSTILE)):
        registration.create_user(tx, name, display_name=display_name)
    for number in range(12):
        registration.create_user(tx, f"many{number:02}")
    management.create_group(tx, "evening", description="late shift")


def found(panel: PanelService, user: str, text: str, **more: str) -> dict[str, list[str]]:
    """Return the names found, by kind."""
    query = "&".join(f"{name}={value}" for name, value in {"q": text, "as_typed": "1", **more}.items())
    page = panel.get(user, f"search?{query}")
    sections = re.findall(r'id="found-([a-z-]+)" (.*?)</section>', page, re.DOTALL)
    return {kind: re.findall(r'<li data-name="([^"]+)"', body) for kind, body in sections}


def test_the_best_come_first(panel: PanelService) -> None:
    matches = found(panel, "boss", "eve")
    assert matches["people"] == ["eve", "evelyn", "steve"]
    assert matches["groups"] == ["evening"]
    assert found(panel, "boss", "ADA")["people"] == ["ada", "evelyn"], "by the display name too, in any case"
    assert found(panel, "boss", "late")["groups"] == ["evening"]
    assert found(panel, "boss", "executor")["roles"] == ["PROJECT_EXECUTOR"]
    assert found(panel, "boss", "p1")["projects"] == ["p1"]
    assert found(panel, "boss", "robot")["service-accounts"] == ["robot"]


def test_a_list_that_is_cut_says_so_and_leads_on(panel: PanelService) -> None:
    page = panel.get("boss", "search?q=many&as_typed=1")
    assert "The best 5 of 12 people." in page
    assert f'href="{PREFIX}search?q=many&amp;kind=people"' in page
    assert len(found(panel, "boss", "many", kind="people")["people"]) == 12


def test_a_text_of_many_finds_the_same_as_one_of_few(panel: PanelService, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = found(panel, "boss", "e")
    monkeypatch.setattr("aizen_hub.service.panel.lookup._MAX_FEW", 0)
    assert found(panel, "boss", "e") == expected
    assert "The best 5 of 12 people." in panel.get("boss", "search?q=many&as_typed=1")


@pytest.mark.proves("R72")
def test_nothing_else_is_found(panel: PanelService) -> None:
    assert found(panel, "ada", "e").get("people") == ["eve"]
    assert "groups" not in found(panel, "ada", "evening")
    assert "people" not in found(panel, "eve", "boss")
    assert found(panel, "eve", "p")["projects"] == ["p1"]
    assert found(panel, "zoe", "p")["projects"] == ["p2"]
    assert "service-accounts" not in found(panel, "ada", "robot")
    token = panel.run(panel.window("ada").xsrf())  # random: it may contain the name
    hidden, missing = (
        panel.get("ada", f"search?q={name}&as_typed=1").replace(token, "").replace(name, "") for name in ("zoe", "xyz")
    )
    assert hidden == missing


@pytest.mark.parametrize(
    ("text", "page"),
    [("eve", "people/eve"), ("EVE", "people/eve"), ("p1", "projects/p1"), ("PROJECT_READER", "roles/PROJECT_READER")],
)
def test_an_exact_name_leads_to_its_page(panel: PanelService, text: str, page: str) -> None:
    response = panel.run(panel.window("boss").get(f"search?q={text}"))
    assert (response.status, response.headers["Location"]) == (303, PREFIX + page)


@pytest.mark.parametrize("text", ["", "ev", "nothing-like-this", "%25", "a_b", "'; DROP TABLE users"])
def test_any_text_is_answered(panel: PanelService, text: str) -> None:
    assert "Search" in panel.get("boss", f"search?q={text.replace(' ', '+')}")


def test_like_patterns_are_text(panel: PanelService) -> None:
    assert found(panel, "boss", "%25") == {}
    assert "people" not in found(panel, "boss", "e_e")


@pytest.mark.parametrize(
    ("text", "page"),
    [
        ("can eve start training in p1", "why?who=eve&amp;do=start+training&amp;in=p1"),
        ("Can EVE start training churn in p1?", "why?who=eve&amp;do=start+training&amp;in=p1"),
        ("may I list users", "why?who=boss&amp;do=list+users"),
        ("why can't nil list datasets in p9", "why?who=nil&amp;do=list+datasets&amp;in=p9"),
        ("can eve fly in p1", None),
        ("can eve", None),
        ("eve", None),
    ],
)
def test_a_question_is_offered_as_a_question(panel: PanelService, text: str, page: str | None) -> None:
    body = panel.get("boss", "search?as_typed=1&q=" + text.replace(" ", "+").replace("'", "%27").replace("?", "%3F"))
    assert (f'href="{PREFIX}{page}"' in body) if page else ("See the answer" not in body)


@pytest.mark.proves("R118")
def test_stored_text_is_escaped(panel: PanelService) -> None:
    assert "<b>bold" not in panel.get("boss", "search?q=hostile&as_typed=1")
    assert "<b>bold" not in panel.get("boss", "suggest?q=hostile")


@pytest.mark.parametrize(
    ("user", "query", "values"),
    [
        ("boss", "kinds=user,group&q=eve", ["eve", "evelyn", "steve", "group:evening"]),
        ("boss", "kinds=role&q=creator", ["PROJECT_CREATOR"]),
        ("boss", "kinds=project&q=p", ["p1", "p2"]),
        ("boss", "kinds=service-account&q=rob", ["service-account:robot"]),
        ("ada", "kinds=user,group&q=eve", ["eve"]),
        ("eve", "kinds=user&q=boss", []),
    ],
)
def test_suggestions(panel: PanelService, user: str, query: str, values: list[str]) -> None:
    assert re.findall(r'<option value="([^"]*)"', panel.get(user, f"suggest?{query}")) == values


def test_an_unknown_kind_is_refused(panel: PanelService) -> None:
    assert panel.run(panel.window("boss").get("suggest?q=a&kinds=secret")).status == 400


@pytest.mark.needs("browser", "axe")
@pytest.mark.slow
class TestInTheBrowser:
    def test_it_is_searched_as_one_types(self, browser: PanelBrowser) -> None:
        opened = browser.open("me", "boss")
        page = opened.page
        page.keyboard.press("/")
        page.keyboard.type("many")
        page.keyboard.press("Enter")
        page.wait_for_selector("#found-people")
        page.fill("#az-search", "")
        page.locator("#az-search").press_sequentially("evelyn")
        page.wait_for_url("**q=evelyn*")
        page.wait_for_selector("#found-people:has-text('Evelyn Ada')")
        page.locator("#az-search").fill("can eve start training in p1")
        page.locator("#az-search").press("Enter")
        page.click("text=See the answer, and why")
        page.wait_for_url("**/why?who=eve**")
        assert opened.complaints == []

    def test_it_works_without_script(self, browser: PanelBrowser) -> None:
        page = browser.open("search", "boss", javascript=False).page
        page.fill("#az-search", "many")
        page.click("main button:has-text('Search')")
        assert page.locator("#found-people li").count() == 5
