"""Every catalog works with the same functions, which contain no name of a role or command."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from aizen_hub.accounts.groups import management, membership
from aizen_hub.accounts.names import normalization
from aizen_hub.accounts.names.normalization import NameKind
from aizen_hub.accounts.projects import lifecycle
from aizen_hub.accounts.roles import custom_roles, limits
from aizen_hub.accounts.service_accounts import accounts
from aizen_hub.accounts.sessions import locks
from aizen_hub.accounts.users import bootstrap, profiles, registration
from aizen_hub.problems import Denied, LastHolder, Problem
from aizen_hub.rbac.assignment import LockTarget
from aizen_hub.rbac.identity import Identity
from aizen_hub.rbac.role import SYSTEM
from tests.accounts.harness import OPERATOR, AccountsHarness, open_harness

CATALOGS = ("aizen", "aihub", "xat", "zenml")


@pytest.fixture(params=CATALOGS)
def harness(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[AccountsHarness]:
    harness = open_harness(tmp_path / "data", catalog=request.param)
    harness.execute(OPERATOR, bootstrap.bootstrap_installation, harness.settings)
    yield harness
    harness.close()


def test_the_first_admin_manages_everything(harness: AccountsHarness) -> None:
    admin = harness.catalog.admin_role
    assert admin in harness.roles_of("admin")
    harness.execute("admin", registration.create_user, "ann", provider="ldap")
    ann = Identity.user("ann")
    harness.execute("admin", profiles.update_user, "ann", email="ann@example.org")
    harness.execute("admin", management.create_group, "crew")
    harness.execute("admin", membership.add_member, "crew", ann)
    harness.execute("admin", accounts.create_service_account, "robot")
    harness.execute("admin", custom_roles.create_role, "custom-one", permissions=["read"])
    harness.execute("admin", limits.set_limit, ann, SYSTEM, "jobs", 3)
    harness.execute("admin", locks.lock_target, LockTarget.IDENTITY, "user:ann", reason="x")
    harness.execute(OPERATOR, locks.unlock_target, LockTarget.IDENTITY, "user:ann", reason="over")
    assert "ann" in [row[0] for row in harness.run_command("admin", "list users").rows]
    harness.run_command("admin", "delete user ann")


@pytest.mark.proves("R69")
def test_the_last_admin_stays_in_every_catalog(harness: AccountsHarness) -> None:
    role = harness.catalog.admin_role
    assert role is not None
    if not harness.catalog.roles[role].protected:
        pytest.fail("the admin role of every catalog is protected")
    for text in ("delete user admin", f"revoke role {role} from admin"):
        with pytest.raises(Problem) as caught:
            harness.run_command("admin", text)
        assert isinstance(caught.value, LastHolder) or caught.value.status == 403
    assert role in harness.roles_of("admin")


@pytest.mark.proves("R75")
def test_the_creator_has_the_creator_s_role_and_keeps_it(harness: AccountsHarness) -> None:
    harness.register_users("ann", "ben")
    harness.execute(OPERATOR, lifecycle.create_project, "p1", owner=Identity.user("ann"))
    role = harness.catalog.creator_role
    assert role is not None
    assert role in harness.roles_of("ann", "p1")
    harness.grant(role, "p1", "ben")
    if not harness.roles_of("ben") & harness.catalog.creator_role_removers:
        with pytest.raises(Problem):
            harness.run_command("ben", f"revoke role {role} from ann", project="p1")
        assert role in harness.roles_of("ann", "p1")
    with harness.read() as tx:
        assert tx.rights(Identity.user("ann")).held_roles


def test_a_user_without_roles_manages_nothing(harness: AccountsHarness) -> None:
    harness.register_users("ann")
    for group in harness.catalog.default_groups:  # roles of the default groups are not tested here
        harness.execute(
            OPERATOR,
            locks.lock_target,
            LockTarget.IDENTITY,
            f"group:{normalization.canonical_name(group.name, NameKind.GROUP)}",
            reason="x",
        )
    operations = (
        (registration.create_user, ("x1",)),
        (management.create_group, ("x1",)),
        (locks.list_locks, ()),
        (accounts.create_service_account, ("x1",)),
    )
    for operation, args in operations:
        with pytest.raises(Denied):
            harness.execute("ann", operation, *args)
