"""The last holder of a protected role stays, whatever the method, and under concurrent changes."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier
from typing import Any

import pytest

from aizen_hub.accounts import command_handlers, pending_changes
from aizen_hub.accounts.groups import management, membership
from aizen_hub.accounts.roles import assignments, last_holder
from aizen_hub.accounts.service_accounts import accounts
from aizen_hub.accounts.sessions import locks
from aizen_hub.accounts.users import registration
from aizen_hub.problems import Denied, Escalation, LastHolder, NotFound, Problem
from aizen_hub.rbac.assignment import Interval, LockTarget
from aizen_hub.rbac.identity import Identity
from aizen_hub.rbac.role import SYSTEM
from aizen_hub.store.actor import Actor, Channel
from tests.accounts.harness import FAR, OPERATOR, AccountsHarness

ROUNDS = 200
THREADS = 16


@pytest.mark.proves("R69", "T-05")
def test_two_admins_who_remove_each_other_at_once_leave_one(harness: AccountsHarness) -> None:
    harness.register_users("olga")
    harness.run_command("carl", "create project p2")
    for name in ("paul", "olga"):
        harness.grant("PROJECT_ADMIN", "p2", name)
    harness.run_command("admin", "revoke role PROJECT_ADMIN from carl", project="p2")
    barrier = Barrier(THREADS)

    def remove(thread: int) -> bool:
        me, other = ("paul", "olga") if thread % 2 else ("olga", "paul")
        barrier.wait()
        try:
            harness.run_command(me, f"revoke role PROJECT_ADMIN from {other}", project="p2")
        except Problem:
            return False
        return True

    with ThreadPoolExecutor(THREADS) as pool:
        for _ in range(ROUNDS):
            won = sum(pool.map(remove, range(THREADS)))
            left = [name for name in ("paul", "olga") if harness.roles_of(name, "p2")]
            assert (won, len(left)) == (1, 1)
            for name in ("paul", "olga"):
                harness.grant("PROJECT_ADMIN", "p2", name)


METHODS = ("revoke", "lock", "delete", "users file", "end date")


@pytest.mark.proves("R69")
@pytest.mark.parametrize("method", METHODS)
def test_the_last_admin_of_the_system_stays(sandbox: AccountsHarness, method: str) -> None:
    assert_last(sandbox, method, "AIZEN_ADMIN", SYSTEM, "admin", by="admin")


@pytest.mark.proves("R69")
@pytest.mark.parametrize("method", ["revoke", "lock", "delete", "project file", "end date"])
def test_the_last_admin_of_a_project_stays(sandbox: AccountsHarness, method: str) -> None:
    sandbox.grant("PROJECT_ADMIN", "p2", "tim")
    sandbox.run_command("admin", "revoke role PROJECT_ADMIN from olga", project="p2")
    assert_last(sandbox, method, "PROJECT_ADMIN", "p2", "tim", by="tim" if method == "project file" else "admin")


def assert_last(sandbox: AccountsHarness, method: str, role: str, scope: str, holder: str, *, by: str) -> None:
    before = sandbox.state()
    with pytest.raises(LastHolder) as caught:
        remove_by(sandbox, method, role, scope, holder, by)
    assert holder in caught.value.detail
    assert caught.value.extensions["last"] == [{"role": role, "scope": scope}]
    assert sandbox.state() == before
    # With a second holder it is allowed.
    sandbox.register_users("second")
    sandbox.grant(role, scope, "second")
    remove_by(sandbox, method, role, scope, holder, by)


def remove_by(sandbox: AccountsHarness, method: str, role: str, scope: str, holder: str, by: str) -> None:
    identity = Identity.user(holder)
    match method:
        case "revoke":
            sandbox.execute(OPERATOR, assignments.revoke_roles, [role], scope, identity)
        case "lock":
            sandbox.execute(by, locks.lock_target, LockTarget.IDENTITY, str(identity), reason="x")
        case "delete":
            sandbox.run_command(by, f"delete user {holder}")
        case "users file":
            sandbox.run_command(by, "alter users u", files={"u": json.dumps([{"id": holder, "roles": []}])})
        case "project file":
            present = {held for held in ("second",) if sandbox.roles_of(held, scope)}
            text = json.dumps([{"id": one, "roles": [role]} for one in present])
            sandbox.run_command(by, f"alter project {scope},config=m", files={"m": text})
        case "end date":
            sandbox.execute(
                OPERATOR, assignments.grant_roles, [role], scope, identity, interval=Interval(None, sandbox.now() + FAR)
            )


@pytest.mark.proves("R69")
@pytest.mark.parametrize("kind", ["ends", "begins later", "locked", "inactive", "group", "service account"])
def test_who_does_not_count_as_a_holder(sandbox: AccountsHarness, kind: str) -> None:
    sandbox.register_users("second")
    second = Identity.user("second")
    match kind:
        case "ends":
            sandbox.grant("AIZEN_ADMIN", SYSTEM, "second", interval=Interval(None, sandbox.now() + FAR))
        case "begins later":
            sandbox.grant("AIZEN_ADMIN", SYSTEM, "second", interval=Interval(sandbox.now() + timedelta(hours=1), None))
        case "locked":
            sandbox.grant("AIZEN_ADMIN", SYSTEM, "second")
            sandbox.execute(OPERATOR, locks.lock_target, LockTarget.IDENTITY, str(second), reason="x")
        case "inactive":
            sandbox.execute(OPERATOR, registration.create_user, "fresh", provider="local")
            sandbox.grant("AIZEN_ADMIN", SYSTEM, "fresh")
        case "group":
            sandbox.execute(OPERATOR, management.create_group, "crew")
            sandbox.execute(OPERATOR, membership.add_member, "crew", second)
            sandbox.grant("AIZEN_ADMIN", SYSTEM, Identity.group("crew"))
        case "service account":
            sandbox.execute(OPERATOR, accounts.create_service_account, "robot")
            sandbox.grant("AIZEN_ADMIN", SYSTEM, Identity.service_account("robot"))
    with sandbox.read() as tx:
        assert last_holder.active_holders(tx, "AIZEN_ADMIN", SYSTEM) == {"admin"}
    with pytest.raises(LastHolder):
        sandbox.run_command("admin", "delete user admin")


@pytest.mark.proves("R69")
def test_a_bulk_file_may_exchange_the_last_holder_but_not_lose_it(sandbox: AccountsHarness) -> None:
    both = [{"id": "admin", "roles": []}, {"id": "tim", "roles": []}]
    with pytest.raises(LastHolder):
        sandbox.run_command("admin", "alter users u", files={"u": json.dumps(both)})
    both[1] = {"id": "tim", "roles": ["AIZEN_ADMIN"]}
    sandbox.run_command("admin", "alter users u", files={"u": json.dumps(both)})
    assert (sandbox.roles_of("admin"), sandbox.roles_of("tim")) == (set(), {"AIZEN_ADMIN"})


@pytest.mark.proves("R69")
def test_a_bulk_deletion_counts_as_a_whole(sandbox: AccountsHarness) -> None:
    sandbox.grant("AIZEN_ADMIN", SYSTEM, "tim")
    with pytest.raises(LastHolder):
        sandbox.run_command("admin", "delete users admin, tim")
    with pytest.raises(NotFound):
        sandbox.run_command("admin", "delete users tim, ghost")
    assert sandbox.roles_of("tim") == {"AIZEN_ADMIN"}
    sandbox.run_command("admin", "delete users admin")


@pytest.mark.proves("R69")
@pytest.mark.parametrize("channel", [Channel.KERNEL, Channel.CLI])
def test_the_deletion_of_the_last_holder_is_refused_before_confirmation(
    harness: AccountsHarness, channel: Channel
) -> None:
    with pytest.raises(LastHolder, match="last AIZEN_ADMIN"):
        harness.run_command("admin", "delete user admin", channel=channel)
    with harness.read() as tx:
        assert pending_changes.list_pending(tx).rows == ()
    harness.register_users("anna")
    harness.grant("AIZEN_ADMIN", SYSTEM, "anna")
    assert harness.run_command("admin", "delete user anna", channel=channel).pending_id


@pytest.mark.proves("R69", "R77", "R144")
@pytest.mark.parametrize("channel", [Channel.KERNEL, Channel.CLI])
def test_the_remedy_for_the_last_admin_works(harness: AccountsHarness, channel: Channel) -> None:
    """Refused at once where it can never be confirmed; what the refusal says to do makes it possible."""

    def change(verb: str, who: str) -> Any:
        preposition = "to" if verb == "grant" else "from"
        return harness.run_command("admin", f"{verb} role AIZEN_ADMIN {preposition} {who}", channel=channel)

    before = harness.state()
    with pytest.raises(LastHolder) as caught:
        change("revoke", "admin")
    assert harness.state() == before, "nothing waits for a confirmation that could never be given"
    remedy = "first grant AIZEN_ADMIN without an end to another user who can sign in, and confirm that in the panel"
    assert caught.value.remedy == remedy
    harness.register_users("anna")
    granted = change("grant", "anna")
    assert harness.roles_of("anna") == set()
    with pytest.raises(Denied, match="recent login"):
        harness.execute(
            harness.actor("admin", recent_login_until=None), command_handlers.confirm_pending_change, granted.pending_id
        )
    with pytest.raises(LastHolder):
        change("revoke", "admin")
    harness.execute("admin", command_handlers.confirm_pending_change, granted.pending_id)
    assert harness.roles_of("anna") == {"AIZEN_ADMIN"}
    revoked = change("revoke", "admin")
    harness.execute("anna", command_handlers.confirm_pending_change, revoked.pending_id)
    assert harness.roles_of("admin") == set()


@pytest.mark.proves("R69", "R77")
@pytest.mark.parametrize("method", ["users file", "end date", "start date"])
@pytest.mark.parametrize("channel", [Channel.KERNEL, Channel.CLI])
def test_a_demotion_that_can_never_be_confirmed_is_refused_at_once(
    harness: AccountsHarness, channel: Channel, method: str
) -> None:
    admin, now = harness.actor("admin", channel), harness.now()

    def demote() -> Any:
        if method == "users file":
            files = {"u": json.dumps([{"id": "admin", "roles": []}])}
            return harness.run_command("admin", "alter users u", files=files, channel=channel)
        interval = Interval(None, now + FAR) if method == "end date" else Interval(now + FAR, None)
        return harness.execute(
            admin, assignments.grant_roles, ["AIZEN_ADMIN"], SYSTEM, Identity.user("admin"), interval=interval
        )

    if method == "users file":
        files = {"u": json.dumps([{"id": "admin", "roles": []}, {"id": "zoe", "roles": ["AIZEN_ADMIN"]}])}
        assert harness.run_command("admin", "alter users u", files=files, channel=channel).pending_id, "an exchange"
        harness.execute(OPERATOR, registration.create_user, "fresh", provider="local")
        files = {"u": json.dumps([{"id": "admin", "roles": []}, {"id": "fresh", "roles": ["AIZEN_ADMIN"]}])}
        with pytest.raises(LastHolder):
            harness.run_command("admin", "alter users u", files=files, channel=channel)
    before = harness.state()
    with pytest.raises((LastHolder, Escalation)):
        demote()
    assert harness.state() == before


@pytest.mark.proves("R66", "R77")
def test_a_service_account_grants_nothing_to_who_controls_it(harness: AccountsHarness) -> None:
    """An admin may give an account of their own AIZEN_ADMIN, and gains nothing by it."""
    harness.execute("admin", accounts.create_service_account, "robot")
    robot = Identity.service_account("robot")
    harness.grant("AIZEN_ADMIN", SYSTEM, robot)
    actor = Actor(robot, Channel.SERVICE_ACCOUNT)
    with pytest.raises(Escalation):
        harness.execute(actor, assignments.grant_roles, ["PROJECT_ADMIN"], "p1", Identity.user("admin"))
    harness.execute(OPERATOR, management.create_group, "crew")
    harness.execute(OPERATOR, membership.add_member, "crew", Identity.user("admin"))
    with pytest.raises(Escalation):
        harness.execute(actor, assignments.grant_roles, ["PROJECT_ADMIN"], "p1", Identity.group("crew"))
    harness.execute(actor, assignments.grant_roles, ["PROJECT_ADMIN"], "p1", Identity.user("zoe"))
