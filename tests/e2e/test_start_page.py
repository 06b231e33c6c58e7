"""The pages of the hub around the start of a server, in a real browser: what is offered, and the way to ask."""

from __future__ import annotations

import re
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import pytest

from tests.fixtures.browser.hub_pages import check_hub_page
from tests.fixtures.hub import HubHandle, running_hub

if TYPE_CHECKING:
    from tests.fixtures.browser.pages import BrowserUser

pytestmark = [pytest.mark.needs("browser", "axe"), pytest.mark.slow]

PANEL = "/services/aizen/"
START_MS = 120_000
PROJECTS = ("churn", "forecast", "pricing", "vision", "scratch", "speech", "routing", "fraud")


HELD_START = """
async def _hold_start(spawner):
    import asyncio, pathlib
    for _ in range(600 if spawner.user.name == "erin" else 0):
        if pathlib.Path("go-on").exists():
            return
        await asyncio.sleep(0.1)

c.Spawner.pre_spawn_hook = _hold_start
c.Spawner.http_timeout = c.Spawner.start_timeout = 120
"""
"""Servers of erin start after a file was made, so that the page of a starting server can be read."""


def seed(tx: Any) -> None:
    from sqlalchemy import update

    from aizen_hub.accounts.projects import lifecycle
    from aizen_hub.accounts.roles import assignments
    from aizen_hub.rbac.identity import Identity
    from aizen_hub.store import tables

    for name in PROJECTS:
        lifecycle.create_project(tx, name, description=f"About {name}", owner=Identity.user("paul"))
        if name != "fraud":
            assignments.grant_roles(tx, ["PROJECT_READER"], name, Identity.user("mona"), reason="test")
    tx.conn.execute(update(tables.projects).where(tables.projects.c.name == "fraud").values(listed=True))
    assignments.grant_roles(tx, ["PROJECT_EXECUTOR"], "churn", Identity.user("erin"), reason="test")


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubHandle]:
    accounts = {"alice": "AIZEN_ADMIN", "paul": "", "erin": "", "mona": "", "nora": "", "nils": ""}
    fake = ("erin", "nora", "mona")
    folder = tmp_path_factory.mktemp("s")
    with running_hub(folder, accounts=accounts, seed=seed, config=HELD_START, fake_servers=fake) as running:
        yield running


@pytest.fixture
def enter(hub: HubHandle, person: Callable[[], BrowserUser]) -> Callable[[str, str], BrowserUser]:
    def sign_in(name: str, page: str = "/hub/spawn") -> BrowserUser:
        user = person()
        user.login(name, hub.passwords[name])
        user.page.wait_for_url(lambda url: "/hub/login" not in url)
        user.page.goto(page)
        return user

    return sign_in


def test_who_has_no_project_asks_on_the_page_of_the_start_and_then_starts(
    hub: HubHandle, enter: Callable[..., BrowserUser]
) -> None:
    nora = enter("nora")
    assert nora.page.locator("#spawn_form").count() == 0, "there is nothing to start"
    check_hub_page(nora.page)
    nora.page.fill("#aizen-ask-project", "churm")
    nora.page.click("label:has-text('PROJECT_READER')")
    nora.page.click("label:has-text('7 days')")
    nora.page.fill("#aizen-ask-because", "I retrain the model")
    nora.page.click("text=Send request")
    assert "no project churm" in nora.page.inner_text("#aizen-error")
    assert nora.page.input_value("#aizen-ask-because") == "I retrain the model", "nothing typed is lost"
    assert nora.page.locator("input[value='7d']:checked").count() == 1
    check_hub_page(nora.page)
    nora.page.fill("#aizen-ask-project", "churn")
    nora.page.click("text=Send request")
    nora.page.wait_for_url("**/hub/spawn")
    assert "PROJECT_READER in churn" in nora.page.inner_text("#aizen-pending-requests")

    paul = enter("paul", PANEL + "requests")
    assert "I retrain the model" in paul.page.inner_text("#aizen-requests")
    paul.page.click("#aizen-requests a:has-text('Review')")
    paul.page.click("#aizen-approve")
    paul.page.wait_for_selector(".az-toast:has-text('Approved')")

    nora.page.reload()
    assert nora.page.locator("#aizen-single").inner_text().startswith("churn PROJECT_READER until")
    nora.page.click("button:has-text('Start')")
    nora.page.wait_for_url("**/user/nora/**", timeout=START_MS)


def test_the_way_to_ask_works_without_scripts(hub: HubHandle, chromium: Any) -> None:
    context = chromium.new_context(base_url=hub.url, java_script_enabled=False)
    try:
        page = context.new_page()
        page.goto("/hub/login")
        page.fill("#username_input", "nils")
        page.fill("#password_input", hub.passwords["nils"])
        page.click("#login_submit")
        page.goto("/hub/spawn")
        page.fill("#aizen-ask-project", "vision")
        page.check("input[value=PROJECT_EXECUTOR]")
        page.click("text=Send request")
        assert "PROJECT_EXECUTOR in vision" in page.inner_text("#aizen-pending-requests")
    finally:
        context.close()


def test_one_project_is_no_choice_and_the_start_says_where_its_role_came_from(
    hub: HubHandle, enter: Callable[..., BrowserUser]
) -> None:
    erin = enter("erin")
    assert erin.page.locator("#spawn_form input[type=radio]").count() == 0
    check_hub_page(erin.page)
    erin.page.click("button:has-text('Start')")
    erin.page.wait_for_url("**/spawn-pending/**")
    assert "Your server for churn is starting" in erin.page.inner_text("#aizen-starting")
    assert "PROJECT_EXECUTOR from" in erin.page.inner_text("#aizen-roles")
    check_hub_page(erin.page)
    (hub.folder / "go-on").touch()
    erin.page.wait_for_url("**/user/erin/**", timeout=START_MS)
    erin.page.goto("/hub/home")
    assert erin.page.inner_text("#aizen-default-project") == "In churn."


def test_eight_projects_are_searched_and_the_last_used_is_first(enter: Callable[..., BrowserUser]) -> None:
    mona = enter("mona")
    cards = "[data-aizen-card]:visible"
    assert mona.page.locator(cards).count() == len(PROJECTS)
    check_hub_page(mona.page)
    assert mona.page.locator("[data-aizen-unavailable=fraud] a").get_attribute("href") == f"{PANEL}me/ask?project=fraud"
    assert mona.page.locator("#aizen-find-text").count() == 0, "the script finds them as they are typed"
    mona.page.goto("/hub/aizen/projects?q=speech")
    assert mona.page.locator(cards).count() == 1
    check_hub_page(mona.page)
    mona.page.click("text=Show all projects")
    mona.page.fill("#aizen-search", "about sp")
    mona.page.locator("text=1 found").wait_for()
    mona.page.check("input[value=speech]")
    mona.page.click("button:has-text('Start')")
    mona.page.wait_for_url("**/user/mona/**", timeout=START_MS)
    mona.page.goto("/hub/spawn/mona/second")
    assert mona.page.locator("[data-aizen-card] strong").first.inner_text() == "speech"
    assert mona.page.locator("input[name=project]:checked").get_attribute("value") == "speech"
    mona.page.check("input[value=vision]")
    mona.page.click("button:has-text('Start')")
    mona.page.wait_for_url("**/user/mona/second/**", timeout=START_MS)
    mona.page.goto("/hub/home")
    assert mona.page.inner_text("tr[data-server-name=second] .aizen-project") == "In vision."
    assert mona.page.inner_text("#aizen-default-project") == "In speech."
    assert mona.page.locator("#aizen-server-projects").count() == 0, "each project is beside its server"
    check_hub_page(mona.page)


def test_eight_projects_are_searched_without_scripts(hub: HubHandle, chromium: Any) -> None:
    context = chromium.new_context(base_url=hub.url, java_script_enabled=False)
    try:
        page = context.new_page()
        page.goto("/hub/login")
        page.fill("#username_input", "mona")
        page.fill("#password_input", hub.passwords["mona"])
        page.click("#login_submit")
        page.goto("/hub/spawn/mona/third")
        assert page.locator("[data-aizen-card]").count() == len(PROJECTS)
        page.fill("#aizen-find-text", "nothing like it")
        page.click("button:has-text('Find')")
        assert page.locator(".aizen-nothing-found").is_visible()
        assert not page.locator("button:has-text('Start')").is_visible()
        page.fill("#aizen-find-text", "About SP")
        page.click("button:has-text('Find')")
        assert "/hub/aizen/projects?q=About+SP&server=third" in page.url, "and no server was started"
        assert page.locator("[data-aizen-card] strong").all_inner_texts() == ["speech"]
        assert page.inner_text("#aizen-find-status").startswith("1 found.")
        page.check("input[value=speech]")
        page.click("button:has-text('Start')")
        page.wait_for_url(re.compile(r"/(hub/spawn-pending|user)/mona/third"), timeout=START_MS)
        project = page.locator("#aizen-server-projects li", has_text="third: In speech.")
        for _ in range(START_MS // 500):
            page.goto("/hub/home")
            if project.count():
                break
            page.wait_for_timeout(500)
        assert project.count() == 1
        # It runs: the search leads to the page that says so.
        page.goto("/hub/aizen/projects?q=vision&server=third")
        assert "/hub/aizen/projects" not in page.url
        page.goto("/hub/aizen/projects?q=vision&server=unknown-one")
        assert "/hub/aizen/projects" not in page.url
    finally:
        context.close()


def test_a_refused_start_leads_to_its_explanation(enter: Callable[..., BrowserUser]) -> None:
    erin = enter("erin", "/hub/spawn/erin/other?opt-project=fraud")
    refusal = erin.page.locator(".spawn-error-msg")
    assert refusal.inner_text().startswith("There is no project fraud that you may enter")
    check_hub_page(erin.page)
    refusal.locator("text=Why").click()
    erin.page.wait_for_url("**/services/aizen/why?do=enter**")


def test_an_admin_without_a_role_starts_without_a_project(enter: Callable[..., BrowserUser]) -> None:
    alice = enter("alice")
    assert alice.page.locator("input[name=project]:checked").get_attribute("value") == ""
    check_hub_page(alice.page)
    alice.page.goto("/hub/admin")
    alice.page.locator("[data-testid^=user-name-div]").first.wait_for()
    check_hub_page(alice.page)
    assert "registered in Aizen" in alice.page.inner_text("#aizen-admin-note")
    alice.page.click("#aizen-admin-note a")
    alice.page.wait_for_url(f"**{PANEL}people")


def test_refusals_and_outages_are_accessible_pages(hub: HubHandle, enter: Callable[..., BrowserUser]) -> None:
    erin = enter("erin", "/hub/admin")
    assert "not authorized" in erin.page.inner_text("main")
    check_hub_page(erin.page)
    erin.page.goto("/hub/nothing-here")
    check_hub_page(erin.page)
    # From here the proxy takes what it shows while the service does not answer.
    erin.page.goto(f"/hub/error/503?url={PANEL}home")
    erin.page.locator("#aizen-outage").wait_for()
    check_hub_page(erin.page)
    service = hub.service_process()
    service.suspend()
    try:
        erin.page.goto("/hub/spawn/erin/third", timeout=START_MS)
        erin.page.locator(".aizen-unavailable").wait_for()
        check_hub_page(erin.page)
    finally:
        service.resume()


def test_the_page_of_an_outage_gives_way_to_the_page_that_answers(
    hub: HubHandle, enter: Callable[..., BrowserUser]
) -> None:
    erin = enter("erin")
    outage = erin.page.request.get(f"/hub/error/503?url={PANEL}me").text()
    answers = iter((outage, outage))
    erin.page.clock.install()

    def answer(route: Any) -> None:
        body = next(answers, None)
        if body is None:
            route.continue_()
        else:
            route.fulfill(status=503, body=body, content_type="text/html")

    erin.page.route(f"**{PANEL}me", answer)
    erin.page.goto(f"{PANEL}me")
    erin.page.locator("#aizen-outage").wait_for()
    for _ in range(2):
        with erin.page.expect_response(f"**{PANEL}me"):
            erin.page.clock.run_for(11_000)
    erin.page.locator("h1:has-text('My access')").wait_for()


def test_programs_do_not_use_the_form(hub: HubHandle) -> None:
    mona = hub.login("mona")
    token = mona.api("POST", "/hub/api/users/mona/tokens", {"note": "test", "expires_in": 600}).json()["token"]
    form = urlencode({"project": "fraud", "role": "PROJECT_READER"}).encode()
    for headers, status in (({"Authorization": f"token {token}"}, 403), ({}, 403)):
        request = urllib.request.Request(f"{hub.url}/hub/aizen/ask", form, headers)
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=60)
        assert caught.value.code == status
