"""The lists of people, groups and service accounts: the same rows on SQLite and PostgreSQL."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import select

from aizen_hub.authorization.queries.effective_access import list_access
from aizen_hub.rbac.identity import Identity
from aizen_hub.rbac.role import SYSTEM
from aizen_hub.service.panel.groups import listing as group_listing
from aizen_hub.service.panel.groups.listing import GroupsQuery, GroupState
from aizen_hub.service.panel.groups.members import list_members, read_tree
from aizen_hub.service.panel.paging import PageQuery
from aizen_hub.service.panel.people import listing
from aizen_hub.service.panel.people.listing import PeopleQuery, PersonState
from aizen_hub.service.panel.service_accounts import listing as account_listing
from aizen_hub.service.panel.service_accounts.listing import AccountState, ServiceAccountsQuery
from aizen_hub.service.panel.visibility import Viewer
from aizen_hub.store import tables
from aizen_hub.store.actor import Actor, Channel
from aizen_hub.store.sql_store import Store
from tests.store import store_rows
from tests.store.conftest import catalog, opened, settings, store  # noqa: F401 - fixtures
from tests.store.store_rows import TESTER


@pytest.fixture
def filled(store: Store) -> Store:  # noqa: F811
    with store.write(TESTER) as tx:
        store_rows.insert_project(tx, "p1")
        boss = store_rows.insert_user(tx, "boss")
        store_rows.insert_assignment(tx, "AIZEN_ADMIN", SYSTEM, boss)
        store_rows.insert_assignment(tx, "PROJECT_ADMIN", "p1", store_rows.insert_user(tx, "ada"))
        team, inner = store_rows.insert_group(tx, "team"), store_rows.insert_group(tx, "inner")
        store_rows.insert_group(tx, "empty")
        store_rows.insert_assignment(tx, "PROJECT_READER", "p1", team)
        store_rows.insert_membership(tx, inner, team)
        seen = tx.now - timedelta(days=1)
        rita = store_rows.insert_user(tx, "rita", display_name="Rita ÄBERG", email="r@acme.example", last_seen=seen)
        store_rows.insert_membership(tx, rita, inner)
        store_rows.insert_lock(tx, "identity", str(store_rows.insert_user(tx, "erin")))
        values = {"name": "robot", "description": "Retrains", "active": True, "created": tx.now, "built_in": False}
        tx.conn.execute(tables.service_accounts.insert().values(controller="user:ada", **values))
    return store


def viewed_by(name: str) -> Actor:
    return Actor(Identity.user(name), Channel.PANEL)


def test_every_filter_of_people(filled: Store) -> None:
    def names(viewer: str = "boss", **query: object) -> list[str]:
        with filled.read_as(viewed_by(viewer)) as tx:
            page, rows = listing.list_people(Viewer(tx), PeopleQuery.model_validate(query))
            assert page.total == len(rows)
            return [row.name for row in rows]

    assert names() == ["ada", "boss", "erin", "rita"]
    assert names(sort="-seen")[0] == "rita"
    assert names(q="ACME") == ["rita"]
    assert names(q="rita ÄB") == ["rita"]
    assert names(project="p1") == ["ada", "rita"]
    assert names(role="PROJECT_READER") == ["rita"]
    assert names(role="PROJECT_READER", project="p1") == ["rita"]
    assert names(role="none") == ["erin"]
    assert names(state=PersonState.STOPPED) == ["erin"]
    assert names(state=PersonState.ACTIVE) == ["ada", "boss", "rita"]
    assert names("ada") == ["ada", "rita"]
    assert names("ada", role="none") == []
    with filled.read_as(viewed_by("boss")) as tx:
        assert listing.count_people(Viewer(tx)) == {"stopped": 1, "not-activated": 0, "left": 0}


def test_groups_and_their_members(filled: Store) -> None:
    with filled.read_as(viewed_by("boss")) as tx:
        viewer = Viewer(tx)
        assert [row.name for row in group_listing.list_groups(viewer, GroupsQuery())[1]] == ["empty", "inner", "team"]
        nothing = GroupsQuery(state=GroupState.GRANTS_NOTHING, q="N")
        assert [row.name for row in group_listing.list_groups(viewer, nothing)[1]] == ["inner"]
        assert group_listing.count_groups(viewer) == {"local": 3, "empty": 1, "nothing": 2}
        row = tx.conn.execute(select(tables.groups).where(tables.groups.c.name == "team")).one()
        tree = read_tree(tx, row)
        assert (tree.people, [node.name for node in tree.root.groups]) == (1, ["inner"])
        assert [member.member for member in list_members(tx, row.id, PageQuery()).rows] == ["group:inner"]
        access = list_access(tx, Identity.user("rita"))
        assert [(held.role, len(held.via)) for scope in access.scopes for held in scope.roles] == [
            ("PROJECT_READER", 2)
        ]


def test_service_accounts(filled: Store) -> None:
    with filled.read_as(viewed_by("ada")) as tx:
        query = ServiceAccountsQuery(q="RETR", state=AccountState.ACTIVE)
        (row,) = account_listing.list_accounts(Viewer(tx), query)[1]
        assert (row.name, row.credentials, row.state) == ("robot", 0, AccountState.ACTIVE)
        assert account_listing.list_accounts(Viewer(tx), ServiceAccountsQuery(state=AccountState.STOPPED))[1] == ()
