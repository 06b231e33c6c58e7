"""Page *Not used for 45 days*: everything that *Home* counts can be seen, page by page."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from sqlalchemy import update

from aizen_hub.accounts.reviews.unused_access import find_dormant_accounts, find_unused_roles, summarize_unused
from aizen_hub.accounts.roles import assignments
from aizen_hub.accounts.service_accounts import accounts, credentials
from aizen_hub.accounts.users import registration
from aizen_hub.rbac.identity import Identity
from aizen_hub.store import tables
from aizen_hub.store.transaction import WriteTransaction
from tests.fixtures.browser.panel import PanelService

PEOPLE = 30


def seed(tx: WriteTransaction) -> None:
    for number in range(PEOPLE):
        name = f"old{number:02}"
        registration.create_user(tx, name, provider="lab", display_name="")
        assignments.unauthorized_write_assignment(tx, "PROJECT_READER", "p1", Identity.user(name), reason="test")
    accounts.create_service_account(tx, "idle")
    credentials.issue_credential(tx, "idle")
    before = tx.now - timedelta(days=60)
    for table, column in (
        (tables.users, "created"),
        (tables.service_accounts, "created"),
        (tables.credentials, "created"),
        (tables.assignment_rows, "granted"),
    ):
        tx.conn.execute(update(table).values({column: before}))
    tx.conn.execute(update(tables.users).values(active=True))


def read_through(panel: PanelService, card: str) -> list[str]:
    """Return the accounts of one of the two lists, through all of its pages."""
    found, address = [], "system/unused"
    for _ in range(20):
        page = panel.get("boss", address)
        part = page.partition(f'id="{card}"')[2].partition("</section>")[0]
        found += re.findall(r"Take away…<span[^>]*> \S+ of ([^<]+)<|Stop…<span[^>]*> ([^<]+)<", part)
        following = re.search(rf'href="[^"]*/(system/unused\?[^"]*)">Next {card}<', part)
        if following is None:
            return [role or account for role, account in found]
        address = following.group(1).replace("&amp;", "&")
    raise AssertionError("the list does not end")


@pytest.mark.proves("R132")
def test_every_unused_role_and_dormant_account_can_be_seen(panel: PanelService) -> None:
    with panel.store.read() as tx:
        roles = [row.identity.removeprefix("user:") for row in find_unused_roles(tx, limit=1_000)]
        dormant = [row.identity.removeprefix("user:") for row in find_dormant_accounts(tx, 1_000)]
    assert len(roles) > PEOPLE
    assert [name.replace("service-account:", "service-account ") for name in roles] == read_through(panel, "roles")
    seen = read_through(panel, "accounts")
    assert [name.replace("service-account:", "service-account ") for name in dormant] == seen
    assert "service-account idle" in seen


def test_home_says_how_many_more_there_are_and_leads_there(panel: PanelService) -> None:
    with panel.store.read() as tx:
        panel.driver.context.state.unused_access = summary = summarize_unused(tx)
    page = panel.get("boss", "home")
    assert f"and {summary.account_count - 3} more" in page
    assert 'system/unused"' in page


@pytest.mark.proves("R72")
def test_it_is_a_missing_page_for_those_who_do_not_see_everyone(panel: PanelService) -> None:
    window = panel.window("ada")
    assert panel.run(window.get("system/unused")).status == 404
    assert panel.run(panel.window("boss").get("system/unused?accounts=nothing")).status == 400
