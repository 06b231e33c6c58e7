"""A hundred thousand people in Chromium: paged in both orders, searched as one types, and filtered by the address."""

from __future__ import annotations

import re

import pytest
from sqlalchemy import insert

from aizen_hub.store import tables
from aizen_hub.store.transaction import WriteTransaction
from tests.fixtures.browser.panel import PanelBrowser

pytestmark = [pytest.mark.needs("browser", "axe"), pytest.mark.slow]

USERS = 100_000
_CHUNK = 10_000


def seed(tx: WriteTransaction) -> None:
    """Write the people past the account functions, which would take minutes; every thousandth is a reader of `p1`."""
    common = {"provider": "lab", "alerts": {}, "active": True, "email_unconfirmed": False, "created": tx.now}
    for start in range(0, USERS, _CHUNK):
        names = [f"u{number:05}" for number in range(start, start + _CHUNK)]
        rows = [
            {"name": name, "display_name": f"Person {name[1:]}", "email": f"{name}@acme.example", **common}
            for name in names
        ]
        tx.conn.execute(insert(tables.users), rows)
    readers = [f"user:u{number:05}" for number in range(0, USERS, 1_000)]
    values = {"role": "PROJECT_READER", "scope": "p1", "reason": "", "granted_by": "user:ada", "granted": tx.now}
    values |= {"creator": False, "mapped": False, "revision": 1}
    tx.conn.execute(insert(tables.assignment_rows), [{"identity": identity, **values} for identity in readers])
    tx.record_change("user", {"users": USERS}, ["*"])


def test_paged_sorted_searched_and_filtered(browser: PanelBrowser) -> None:
    page = browser.open("people?project=p1&role=PROJECT_READER", "boss").page
    assert re.search(r"1.25 of 101 people", page.inner_text("#results"))  # rob too
    page.goto(page.url.partition("?")[0] + "?q=u0")
    assert re.search(r"1.25 of 10,000 people", page.inner_text("#results"))
    page.get_by_role("link", name="Next").click()
    page.get_by_text(re.compile(r"26.50 of 10,000 people")).wait_for()
    assert "u00025" in page.inner_text("#results")
    page.get_by_role("link", name="Previous").click()
    page.get_by_text(re.compile(r"1.25 of 10,000 people")).wait_for()
    page.get_by_role("link", name=re.compile("^Person")).first.click()  # the header, for the other order
    page.wait_for_url("**sort=-name**")
    assert "u09999" in page.inner_text("#results")
    page.get_by_label("Name, login or mail").fill("")
    page.get_by_text(re.compile(r"1.25 of 100,00\d people")).wait_for()
    page.get_by_label("Name, login or mail").press_sequentially("person 99999")
    page.get_by_text("1 person", exact=True).wait_for()
    assert "u99999" in page.inner_text("#results")
    assert "sort=-name" in page.url
