"""Forms of the system and of one's own account in Chromium, which show what no address has."""

from __future__ import annotations

import pyotp
import pytest

from tests.fixtures.browser.panel import PanelBrowser, PanelService

pytestmark = [pytest.mark.needs("browser", "axe"), pytest.mark.slow]


def test_a_second_factor_is_set_up_in_the_browser(browser: PanelBrowser, panel: PanelService) -> None:
    panel.sign_in_again("rob")
    page = browser.open("account", "rob")
    page.page.click("#aizen-codes")
    secret = page.page.inner_text("#aizen-totp")
    box = page.page.locator("#aizen-qr").bounding_box()
    assert box is not None
    assert box["width"] > 100
    page.check()
    page.page.fill("#code", pyotp.TOTP(secret).now())
    page.page.click("text=Enable")
    page.page.wait_for_selector("#aizen-recovery")
    assert page.page.locator("#aizen-recovery code").count() == 10
    page.check()


def test_a_policy_file_is_planned_in_the_browser(browser: PanelBrowser) -> None:
    page = browser.open("policy", "boss")
    page.page.fill("#policy", "assignments: [{role: PROJECT_ADMIN, scope: p2, identity: 'user:rob'}]")
    page.page.click("#aizen-plan")
    page.page.wait_for_selector("text=Nothing was changed.")
    assert "PROJECT_ADMIN" in page.page.inner_text("#progress")
    page.check()
    page.page.click("#aizen-apply")
    page.page.wait_for_selector(".az-note.ok")
    page.check()
