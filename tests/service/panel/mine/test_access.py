"""Page *My access*: what the viewer has, and why."""

from __future__ import annotations

import pytest
from sqlalchemy import update

from aizen_hub.accounts.groups import management, membership
from aizen_hub.accounts.roles import assignments
from aizen_hub.rbac.identity import Identity
from aizen_hub.store import tables
from aizen_hub.store.transaction import WriteTransaction
from tests.fixtures.browser.panel import PanelService
from tests.service.conftest import Driver
from tests.service.panel.window import Window


async def test_each_role_tells_its_source(window: Window, hub_service: Driver) -> None:
    await window.sign_in("eve")
    page = (await window.get("me")).body.decode()
    assert "You have 1 role in 1 project." in page
    assert "PROJECT_EXECUTOR" in page
    assert "me/commands/p1" in page
    assert "me/leave/p1" in page


def seed(tx: WriteTransaction) -> None:
    """Nil reads p1 through a group in which a directory has just confirmed the membership."""
    management.create_group(tx, "crew")
    membership.add_member(tx, "crew", Identity.user("nil"))
    tx.conn.execute(update(tables.memberships).values(provider="lab", seen_at=tx.now))
    assignments.grant_roles(tx, ["PROJECT_READER"], "p1", Identity.group("crew"))


@pytest.mark.parametrize(
    ("page", "viewer"),
    [
        ("me", "nil"),
        ("projects/p1", "nil"),
        ("projects/p1/matrix/-/people", "ada"),
        ("people/nil", "boss"),
        ("compare?who=nil&other=zoe", "boss"),
        ("why?who=nil&do=list+trainings&in=p1", "ada"),
    ],
)
def test_a_role_through_a_directory_lasts_as_long_as_it_is_confirmed(
    panel: PanelService, page: str, viewer: str
) -> None:
    text = panel.get(viewer, page)
    assert "s long as the directory confirms it" in text
    assert "onfirmed until" in text or page.startswith("compare")
