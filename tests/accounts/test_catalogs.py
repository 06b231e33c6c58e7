"""Every catalog is run by the same functions: no name of a role or command stands in them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from aizen_hub.accounts.groups import groups
from aizen_hub.accounts.names import names
from aizen_hub.accounts.names.names import NameKind
from aizen_hub.accounts.projects import projects
from aizen_hub.accounts.roles import limits, roles
from aizen_hub.accounts.service_accounts import service_accounts
from aizen_hub.accounts.sessions import locks
from aizen_hub.accounts.users import bootstrap, users
from aizen_hub.problems import Denied, LastHolder, Problem
from aizen_hub.rbac.assignment import LockTarget
from aizen_hub.rbac.identity import Identity
from aizen_hub.rbac.role import SYSTEM
from tests.accounts.harness import OPERATOR, House, open_house

CATALOGS = ("aizen", "aihub", "xat", "zenml")


@pytest.fixture(params=CATALOGS)
def house(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[House]:
    house = open_house(tmp_path / "data", catalog=request.param)
    house.do(OPERATOR, bootstrap.first_start, house.settings)
    yield house
    house.close()


def test_the_first_admin_manages_everything(house: House) -> None:
    admin = house.catalog.admin_role
    assert admin in house.roles_of("admin")
    house.do("admin", users.create, "ann", provider="ldap")
    ann = Identity.user("ann")
    house.do("admin", users.alter, "ann", email="ann@example.org")
    house.do("admin", groups.create, "crew")
    house.do("admin", groups.add_member, "crew", ann)
    house.do("admin", service_accounts.create, "robot")
    house.do("admin", roles.create, "custom-one", permissions=["read:nothing"])
    house.do("admin", limits.put, ann, SYSTEM, "jobs", 3)
    house.do("admin", locks.lock, LockTarget.IDENTITY, "user:ann", reason="x")
    house.do(OPERATOR, locks.unlock, LockTarget.IDENTITY, "user:ann")
    assert "ann" in [row[0] for row in house.run("admin", "list users").rows]
    house.run("admin", "delete user ann")


@pytest.mark.proves("R69")
def test_the_last_admin_stays_whatever_it_is_called(house: House) -> None:
    role = house.catalog.admin_role
    assert role is not None
    if not house.catalog.roles[role].protected:
        pytest.fail("the admin role of every catalog is protected")
    for text in ("delete user admin", f"revoke role {role} from admin"):
        with pytest.raises(Problem) as caught:
            house.run("admin", text)
        assert isinstance(caught.value, LastHolder) or caught.value.status == 403
    assert role in house.roles_of("admin")


@pytest.mark.proves("R75")
def test_the_creator_has_the_creator_s_role_and_keeps_it(house: House) -> None:
    house.people("ann", "ben")
    house.do(OPERATOR, projects.create, "p1", owner=Identity.user("ann"))
    role = house.catalog.creator_role
    assert role is not None
    assert role in house.roles_of("ann", "p1")
    house.give(role, "p1", "ben")
    if not house.roles_of("ben") & house.catalog.creator_role_removers:
        with pytest.raises(Problem):
            house.run("ben", f"revoke role {role} from ann", project="p1")
        assert role in house.roles_of("ann", "p1")
    with house.reading() as tx:
        assert tx.rights(Identity.user("ann")).held


def test_who_has_nothing_manages_nothing(house: House) -> None:
    house.people("ann")
    for group in house.catalog.default_groups:  # what everybody has by default is not the question here
        house.do(
            OPERATOR,
            locks.lock,
            LockTarget.IDENTITY,
            f"group:{names.canonical(group.name, NameKind.GROUP)}",
            reason="x",
        )
    for work, args in ((users.create, ("x1",)), (groups.create, ("x1",)), (locks.list_locks, ()),
                       (service_accounts.create, ("x1",))):  # fmt: skip
        with pytest.raises(Denied):
            house.do("ann", work, *args)
