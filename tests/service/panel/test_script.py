"""The small script of the pages in Chromium: times, names as tokens, files; and pages without script."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from playwright.sync_api import Route, expect

from aizen_hub.accounts.roles import assignments
from aizen_hub.rbac.assignment import Interval
from aizen_hub.rbac.identity import Identity
from aizen_hub.store.transaction import WriteTransaction
from tests.fixtures.browser.panel import PanelBrowser

pytestmark = [pytest.mark.needs("browser", "axe"), pytest.mark.slow]

TOKENS = ["rob\n\u00d7", "nil\n\u00d7"]
ENDS = datetime(2099, 1, 1, tzinfo=UTC)


def seed(tx: WriteTransaction) -> None:
    interval = Interval(None, ENDS)
    assignments.unauthorized_write_assignment(
        tx, "PROJECT_READER", "p1", Identity.user("nil"), interval=interval, reason="test"
    )


@pytest.mark.parametrize(
    ("timezone", "day"), [("UTC", "31 Dec 2098"), ("Asia/Tokyo", "1 Jan 2099"), ("America/Lima", "31 Dec 2098")]
)
def test_a_time_is_shown_in_the_zone_of_the_reader(browser: PanelBrowser, timezone: str, day: str) -> None:
    page = browser.open("projects/p1", "ada", timezone=timezone).page
    shown = page.locator('time[datetime^="2098-12-31T23:59:59"]').first
    assert shown.text_content() == day
    assert shown.get_attribute("title") == "until 2099-01-01 00:00 UTC"


def test_without_script_times_are_in_utc(browser: PanelBrowser) -> None:
    page = browser.open("projects/p1", "ada", timezone="Asia/Tokyo", javascript=False).page
    assert page.locator('time[datetime^="2098-12-31T23:59:59"]').first.text_content() == "31 Dec 2098"


class TestNames:
    def test_names_become_tokens_and_are_sent(self, browser: PanelBrowser) -> None:
        opened = browser.open("projects/p1", "ada")
        page = opened.page
        field = page.locator("#who")
        field.press_sequentially("rob, ")
        field.press_sequentially("ni")
        page.wait_for_selector("#who-names option[value=nil]", state="attached")
        field.fill("nil")
        assert page.locator(".az-token").all_inner_texts() == TOKENS
        assert page.locator("input[type=hidden][name=who]").input_value() == "rob, nil"
        page.get_by_role("button", name="Remove rob").click()
        assert page.locator("input[type=hidden][name=who]").input_value() == "nil"
        field.press("Backspace")
        assert page.locator(".az-token").count() == 0
        assert opened.complaints == []

    def test_a_list_is_pasted(self, browser: PanelBrowser) -> None:
        page = browser.open("projects/p1", "ada").page
        page.locator("#who").focus()
        page.evaluate("""() => {
          const data = new DataTransfer();
          data.setData("text", "rob\\nnil\\nrob");
          document.activeElement.dispatchEvent(new ClipboardEvent("paste", {clipboardData: data, cancelable: true}));
        }""")
        assert page.locator(".az-token").all_inner_texts() == TOKENS

    def test_what_was_typed_is_sent_though_no_token_was_made(self, browser: PanelBrowser) -> None:
        page = browser.open("projects/p1", "ada").page
        page.locator("#who").press_sequentially("rob")
        assert page.locator("input[type=hidden][name=who]").input_value() == "rob"

    @pytest.mark.proves("R118")
    def test_a_name_is_text(self, browser: PanelBrowser) -> None:
        opened = browser.open("projects/p1", "ada")
        opened.page.locator("#who").fill("<img src=x onerror=alert(1)>,")
        assert opened.page.locator(".az-token img").count() == 0
        assert opened.complaints == []


def test_a_date_selects_its_choice(browser: PanelBrowser) -> None:
    page = browser.open("projects/p1", "ada").page
    page.fill("#until_date", "2030-01-31")
    assert page.locator("input[name=until][value=date]").is_checked()


@pytest.mark.parametrize(
    ("timezone", "moment"),
    [("UTC", "2030-02-01T00:00:00.000Z"), ("Asia/Tokyo", "2030-01-31T15:00:00.000Z")],
)
def test_a_date_ends_in_the_zone_of_the_reader(browser: PanelBrowser, timezone: str, moment: str) -> None:
    page = browser.open("projects/p1", "ada", timezone=timezone).page
    page.fill("#until_date", "2030-01-31")
    assert page.locator("input[name=until_moment]").input_value() == moment


@pytest.mark.parametrize(("timezone", "moment"), [("UTC", "2099-01-01T00:00:00.000Z"), ("Asia/Tokyo", "")])
def test_an_end_is_kept_until_its_day_is_changed(browser: PanelBrowser, timezone: str, moment: str) -> None:
    """A form that is only opened and saved must not move the end of a role, here the end of a day in UTC."""
    page = browser.open("projects/p1", "ada", timezone=timezone).page
    row = page.locator("tr", has=page.locator('time[datetime^="2098-12-31"], time[datetime^="2099-01-01"]')).first
    page.goto(page.evaluate("(link) => link.href", row.locator('a[href*="/members/"]').first.element_handle()))
    assert page.locator("#until_date").input_value() == "2098-12-31"
    assert page.locator("input[name=until_moment]").input_value() == moment


def test_a_file_is_read_into_its_field(browser: PanelBrowser) -> None:
    page = browser.open("projects/p1/settings", "ada").page
    page.set_input_files("#config-file", {"name": "a.json", "mimeType": "text/plain", "buffer": b'[{"id": "rob"}]'})
    page.wait_for_function("() => document.getElementById('config').value.includes('rob')")


def test_the_menu_opens_on_a_phone_without_script(browser: PanelBrowser) -> None:
    page = browser.open("me", "ada", width=320, javascript=False).page
    menu = page.locator("#nav")
    assert not menu.is_visible()
    page.get_by_role("button", name="Menu").click()
    assert menu.is_visible()
    page.keyboard.press("Escape")
    assert not menu.is_visible()


def test_the_theme_is_switched_and_kept(browser: PanelBrowser) -> None:
    page = browser.open("me", "ada", theme="light").page
    page.get_by_role("button", name="Switch between light and dark").click()
    assert page.locator("html").get_attribute("data-bs-theme") == "dark"
    page.reload()
    assert page.locator("html").get_attribute("data-bs-theme") == "dark"


def test_the_first_stop_of_the_keyboard_skips_to_the_content(browser: PanelBrowser) -> None:
    page = browser.open("me", "ada").page
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "az-skip"
    page.keyboard.press("Enter")
    assert page.evaluate("location.hash") == "#main"


def test_a_refused_request_of_a_script_is_a_toast_and_the_page_stays(browser: PanelBrowser) -> None:
    page = browser.open("people", "ada").page
    # The search field of the list asks for the list; the answer is refused, since the page's token is gone.
    page.evaluate("document.body.setAttribute('hx-headers', '{\"X-XSRF-Token\": \"another\"}')")
    page.locator("#q").press_sequentially("e")
    page.wait_for_selector("#az-toasts [role=alert]")
    assert page.locator("#q").input_value() == "e"
    page.evaluate("document.querySelector('#az-toasts [role=alert]').dataset.first = 'yes'")
    page.locator("#q").blur()  # the changed field asks once more
    page.wait_for_selector("#az-toasts [role=alert]:not([data-first])")
    page.get_by_role("button", name="Dismiss this message").click()
    expect(page.locator("#az-toasts [role=alert]")).to_have_count(0)
    assert page.url.endswith("/people")


def test_a_form_that_is_sent_needs_no_preview_any_more(browser: PanelBrowser) -> None:
    """What the preview is about may be gone by then: the role that the form changes becomes another one."""
    opened = browser.open("projects/p1", "ada")
    page = opened.page
    page.goto(page.evaluate("(link) => link.href", page.locator('main a[href*="/members/"]').first.element_handle()))
    previews: list[Route] = []

    def answer(route: Route) -> None:
        if "preview" in (route.request.post_data or ""):
            previews.append(route)
        else:
            route.fulfill(status=204)  # the page stays

    page.route("**/members/*", answer)
    with page.expect_request("**/members/*"):
        page.locator("#new_role").select_option("PROJECT_EXECUTOR")
    page.evaluate("document.querySelector('#new_role').form.requestSubmit()")
    page.wait_for_timeout(100)
    (late,) = previews
    late.fulfill(status=404)
    page.evaluate("document.querySelector('#new_role').dispatchEvent(new Event('change', {bubbles: true}))")
    page.wait_for_timeout(500)
    assert previews == [late]
    assert opened.complaints == []
    assert page.locator("#az-toasts [role=alert]").count() == 0
