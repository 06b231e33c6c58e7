"""The last holder of a protected role stays, on every road and when many act at once."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier

import pytest

from aizen_hub.accounts import pending_changes as pending
from aizen_hub.accounts.groups import groups
from aizen_hub.accounts.roles import assignments
from aizen_hub.accounts.roles import last_holder as holders
from aizen_hub.accounts.service_accounts import service_accounts
from aizen_hub.accounts.sessions import locks
from aizen_hub.accounts.users import users
from aizen_hub.problems import LastHolder, NotFound, Problem
from aizen_hub.rbac.assignment import Interval, LockTarget
from aizen_hub.rbac.identity import Identity
from aizen_hub.rbac.role import SYSTEM
from aizen_hub.store.actor import Road
from tests.accounts.harness import FAR, OPERATOR, House

ROUNDS = 200
THREADS = 16


@pytest.mark.proves("R69", "T-05")
def test_two_admins_who_remove_each_other_at_once_leave_one(house: House) -> None:
    house.people("olga")
    house.run("carl", "create project p2")
    for name in ("paul", "olga"):
        house.give("PROJECT_ADMIN", "p2", name)
    house.run("admin", "revoke role PROJECT_ADMIN from carl", project="p2")
    barrier = Barrier(THREADS)

    def remove(number: int) -> bool:
        me, other = ("paul", "olga") if number % 2 else ("olga", "paul")
        barrier.wait()
        try:
            house.run(me, f"revoke role PROJECT_ADMIN from {other}", project="p2")
        except Problem:
            return False
        return True

    with ThreadPoolExecutor(THREADS) as pool:
        for _ in range(ROUNDS):
            won = sum(pool.map(remove, range(THREADS)))
            left = [name for name in ("paul", "olga") if house.roles_of(name, "p2")]
            assert (won, len(left)) == (1, 1)
            for name in ("paul", "olga"):
                house.give("PROJECT_ADMIN", "p2", name)


ROADS = ("revoke", "lock", "delete", "users file", "end date")


@pytest.mark.proves("R69")
@pytest.mark.parametrize("road", ROADS)
def test_the_last_admin_of_the_system_stays(town: House, road: str) -> None:
    assert_last(town, road, "AIZEN_ADMIN", SYSTEM, "admin", by="admin")


@pytest.mark.proves("R69")
@pytest.mark.parametrize("road", ["revoke", "lock", "delete", "project file", "end date"])
def test_the_last_admin_of_a_project_stays(town: House, road: str) -> None:
    town.give("PROJECT_ADMIN", "p2", "tim")
    town.run("admin", "revoke role PROJECT_ADMIN from olga", project="p2")
    assert_last(town, road, "PROJECT_ADMIN", "p2", "tim", by="tim" if road == "project file" else "admin")


def assert_last(town: House, road: str, role: str, scope: str, holder: str, *, by: str) -> None:
    before = town.state()
    with pytest.raises(LastHolder) as caught:
        remove_by(town, road, role, scope, holder, by)
    assert holder in caught.value.detail
    assert caught.value.more["last"] == [{"role": role, "scope": scope}]
    assert town.state() == before
    # With a second holder the same works.
    town.people("second")
    town.give(role, scope, "second")
    remove_by(town, road, role, scope, holder, by)


def remove_by(town: House, road: str, role: str, scope: str, holder: str, by: str) -> None:
    identity = Identity.user(holder)
    match road:
        case "revoke":
            town.do(OPERATOR, assignments.revoke, [role], scope, identity)
        case "lock":
            town.do(by, locks.lock, LockTarget.IDENTITY, str(identity), reason="x")
        case "delete":
            town.run(by, f"delete user {holder}")
        case "users file":
            town.run(by, "alter users u", files={"u": json.dumps([{"id": holder, "roles": []}])})
        case "project file":
            present = {held for held in ("second",) if town.roles_of(held, scope)}
            text = json.dumps([{"id": one, "roles": [role]} for one in present])
            town.run(by, f"alter project {scope},config=m", files={"m": text})
        case "end date":
            town.do(OPERATOR, assignments.grant, [role], scope, identity, interval=Interval(None, town.now() + FAR))


@pytest.mark.proves("R69")
@pytest.mark.parametrize("kind", ["ends", "begins later", "locked", "inactive", "group", "service account"])
def test_who_does_not_count_as_a_holder(town: House, kind: str) -> None:
    town.people("second")
    second = Identity.user("second")
    match kind:
        case "ends":
            town.give("AIZEN_ADMIN", SYSTEM, "second", interval=Interval(None, town.now() + FAR))
        case "begins later":
            town.give("AIZEN_ADMIN", SYSTEM, "second", interval=Interval(town.now() + timedelta(hours=1), None))
        case "locked":
            town.give("AIZEN_ADMIN", SYSTEM, "second")
            town.do(OPERATOR, locks.lock, LockTarget.IDENTITY, str(second), reason="x")
        case "inactive":
            town.do(OPERATOR, users.create, "fresh", provider="local")
            town.give("AIZEN_ADMIN", SYSTEM, "fresh")
        case "group":
            town.do(OPERATOR, groups.create, "crew")
            town.do(OPERATOR, groups.add_member, "crew", second)
            town.give("AIZEN_ADMIN", SYSTEM, Identity.group("crew"))
        case "service account":
            town.do(OPERATOR, service_accounts.create, "robot")
            town.give("AIZEN_ADMIN", SYSTEM, Identity.service_account("robot"))
    with town.reading() as tx:
        assert holders.holders(tx, "AIZEN_ADMIN", SYSTEM) == {"admin"}
    with pytest.raises(LastHolder):
        town.run("admin", "delete user admin")


@pytest.mark.proves("R69")
def test_a_bulk_file_may_exchange_the_last_holder_but_not_lose_it(town: House) -> None:
    both = [{"id": "admin", "roles": []}, {"id": "tim", "roles": []}]
    with pytest.raises(LastHolder):
        town.run("admin", "alter users u", files={"u": json.dumps(both)})
    both[1] = {"id": "tim", "roles": ["AIZEN_ADMIN"]}
    town.run("admin", "alter users u", files={"u": json.dumps(both)})
    assert (town.roles_of("admin"), town.roles_of("tim")) == (set(), {"AIZEN_ADMIN"})


@pytest.mark.proves("R69")
def test_a_bulk_deletion_counts_as_a_whole(town: House) -> None:
    town.give("AIZEN_ADMIN", SYSTEM, "tim")
    with pytest.raises(LastHolder):
        town.run("admin", "delete users admin, tim")
    with pytest.raises(NotFound):
        town.run("admin", "delete users tim, ghost")
    assert town.roles_of("tim") == {"AIZEN_ADMIN"}
    town.run("admin", "delete users admin")


@pytest.mark.proves("R69")
@pytest.mark.parametrize("road", [Road.KERNEL, Road.CLI])
def test_the_deletion_of_the_last_holder_does_not_even_wait(house: House, road: Road) -> None:
    with pytest.raises(LastHolder, match="last AIZEN_ADMIN"):
        house.run("admin", "delete user admin", road=road)
    with house.reading() as tx:
        assert pending.waiting(tx).rows == ()
    house.people("anna")
    house.give("AIZEN_ADMIN", SYSTEM, "anna")
    assert house.run("admin", "delete user anna", road=road).pending
