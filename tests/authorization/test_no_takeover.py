"""A search over a small world of offices: nobody takes over what they do not hold, and no program does it for them.

Beside grants: groups, custom roles among them a clone of a confirmed one, activation links that outlive a promotion,
credentials of others' accounts, locks (R68).
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import insert, select

from aizen_hub.accounts.credentials import activation
from aizen_hub.accounts.groups import groups
from aizen_hub.accounts.roles import assignments, roles
from aizen_hub.accounts.service_accounts import service_accounts
from aizen_hub.accounts.sessions import locks
from aizen_hub.accounts.users import users
from aizen_hub.catalogs.loader import load_catalog
from aizen_hub.problems import Problem
from aizen_hub.rbac.assignment import LockTarget
from aizen_hub.rbac.default_denials import covers
from aizen_hub.rbac.identity import Identity
from aizen_hub.rbac.role import SYSTEM
from aizen_hub.store import tables
from aizen_hub.store.actor import Road
from tests.accounts.harness import HUB, OPERATOR, House
from tests.authorization.delegation_model import (
    ALICE,
    LENA,
    OFFICES,
    OTHERS,
    WORTH,
    Office,
    Operation,
    beginnings,
    of_others,
    operations,
)
from tests.authorization.rbac_model import NOW

SCOPES = (SYSTEM, "p1")
MOST_OF_OTHERS = 1
"""The search goes no further from states in which others have more roles, as every rule asks role by role."""
SAMPLES = 300
PASSWORD = "quite long, 7 words of it, unguessed"
TOKEN = "t" * 43


def steps(begin: Office, seen: set[object]) -> Iterator[tuple[Operation, Office]]:
    """Yield every step, hers and of those who promote lena before she came, and go on from what is new."""
    front, doing = [begin] if begin.key not in seen else [], operations()
    seen.add(begin.key)
    while front:
        world = front.pop()
        found = [(operation, world.after(operation)) for operation in doing]
        if not world.used:
            found += [(("promoted", *place), world.promoted(*place)) for place in WORTH]
        for operation, after in found:
            if after is None or after.key == world.key:
                continue
            yield operation, after
            if after.key not in seen and of_others(after) <= MOST_OF_OTHERS:
                seen.add(after.key)
                front.append(after)


def administers(world: Office, who: Identity) -> frozenset[str]:
    """Return the roles of an identity that give what AIZEN_ADMIN alone gives; by another way than the world's own."""
    return frozenset(
        held.role
        for held in world.rights(who).held
        if any(p.verb == "manage" for p in world.roles[held.role].permissions)
    )


def taken_over(begin: Office, after: Office) -> list[str]:
    """Return what is wrong with a state that was reached."""
    wrong = []
    for scope in SCOPES:
        allowed = begin.hers(scope)
        if any(one.role == "AIZEN_ADMIN" and one.gives(NOW) for one in begin.rights(ALICE).held):
            allowed |= begin.roles["PROJECT_CREATOR"].permissions
        wrong += [f"{one} in {scope}" for one in after.hers(scope) if not covers(allowed, one)]
        if after.used:
            allowed |= begin.giveable(scope)
            wrong += [f"lena's {one} in {scope}" for one in after.usable(scope, LENA) if not covers(allowed, one)]
    if begin.program:
        if after.used and administers(after, LENA):
            wrong.append("the account of an administrator")
        for who in (ALICE, *OTHERS):
            if who != LENA and administers(after, who) - administers(begin, who):
                wrong.append(f"{who} administers more")
        wrong += [f"{who} was let in" for who in begin.locked - after.locked if administers(begin, who)]
    return wrong


def search(*, program: bool) -> int:
    visited = 0
    for worlds in beginnings(load_catalog("aizen"), program=program):
        seen: set[object] = set()
        for begin in worlds:
            for operation, after in steps(begin, seen):
                assert not taken_over(begin, after), (begin.key, operation, after.key, taken_over(begin, after))
        visited += len(seen)
    return visited


@pytest.mark.proves("R68", "R66", "R67", "R77", "T-04")
@pytest.mark.parametrize("program", [False, True])
def test_nobody_takes_over_what_they_do_not_hold(program: bool) -> None:
    assert search(program=program) > 1_000


@pytest.mark.parametrize(
    ("name", "patched", "program"),
    [
        ("controls", lambda *_, **__: True, False),
        ("own", frozenset({ALICE}), False),
        ("waits", lambda *_: False, True),
        ("guarded", lambda self, role, _: self.roles[role].confirmed, True),
    ],
)
def test_the_search_would_find_a_hole(monkeypatch: pytest.MonkeyPatch, name: str, patched: Any, program: bool) -> None:
    monkeypatch.setattr(Office, name, patched)
    with pytest.raises(AssertionError):
        search(program=program)


@pytest.fixture
def office(shared_town: House) -> Iterator[House]:
    with shared_town.trial() as trial:
        trial.people("alice")
        trial.do(OPERATOR, users.create, "lena", provider="local", password=PASSWORD)
        trial.do(OPERATOR, groups.create, "crew")
        trial.do(OPERATOR, service_accounts.create, "bot")
        for name, permission in OFFICES.items():
            trial.do(OPERATOR, roles.create, name, permissions=[permission], scopes=["system"])
        trial.do(OPERATOR, roles.clone, "AIZEN_ADMIN", "HELPER")
        yield trial


@pytest.mark.proves("R68", "R66", "R67", "R77", "T-04")
@pytest.mark.parametrize("program", [False, True])
def test_the_rooms_do_what_the_world_of_offices_does(office: House, program: bool) -> None:
    """Random states of the search, set up on a real database: the functions allow exactly what the world allows."""
    choose = random.Random(20260102)
    doing = operations()
    begins = [one for worlds in beginnings(office.catalog, program=program) for one in worlds]
    reached = [step for begin in choose.sample(begins, 12) for step in steps(begin, set())]
    states = choose.sample(begins, 60) + [after for _, after in choose.sample(reached, 60)]
    cases = [(at, operation) for at in states for operation in doing]
    likely = [case for case in cases if case[0].after(case[1]) is not None]
    allowed = 0
    for at, operation in choose.sample(cases, SAMPLES) + choose.sample(likely, min(SAMPLES, len(likely))):
        expected = at.after(operation) is not None
        with office.writing(OPERATOR) as tx:
            point = tx.conn.begin_nested()
            set_up(office, at)
            try:
                done = not getattr(carry_out(office, at, operation), "pending", None)
            except Problem:
                done = False
            assert done == expected, (at.key, operation)
            allowed += done
            point.rollback()
            tx.change("taken-back", {}, ["*"])
    assert allowed > SAMPLES / 4


def set_up(house: House, at: Office) -> None:
    for member in at.members:
        house.do(OPERATOR, groups.add_member, "crew", member)
    for who, role, scope in at.held:
        house.give(role, scope, who)
    if at.wide:
        house.do(OPERATOR, roles.alter, "KEEPER", permissions=["manage:roles", "manage:users"])
    for who in at.locked:
        house.do(OPERATOR, locks.lock, LockTarget.IDENTITY, str(who), reason="x")
    if at.link:
        house.do(OPERATOR, _link, at.proven)
    if at.credential:
        house.do(OPERATOR, _credential)


def _link(tx: Any, proven: bool) -> None:
    number = tx.conn.execute(select(tables.users.c.id).where(tables.users.c.name == "lena")).scalar_one()
    values = {"expires": tx.now + activation.LIVES, "issued_by": str(ALICE), "proven": proven}
    token = activation._hash(TOKEN)
    tx.conn.execute(insert(tables.activations).values(user_id=number, token_hash=token, **values))
    tx.change("activation", {}, [])


def _credential(tx: Any) -> None:
    number = tx.conn.execute(
        select(tables.service_accounts.c.id).where(tables.service_accounts.c.name == "bot")
    ).scalar()
    values = {"created": tx.now, "expires": tx.now + service_accounts.DEFAULT_LIFE, "issued_by": str(ALICE)}
    tx.conn.execute(insert(tables.credentials).values(service_account_id=number, hash="x" * 64, **values))
    tx.change("credential", {}, [])


def carry_out(house: House, at: Office, operation: Operation) -> Any:
    alice = house.actor("alice", Road.KERNEL if at.program else Road.PANEL)
    match operation:
        case ("grant", role, scope, to):
            return house.do(alice, assignments.grant, [role], scope, to)
        case ("join", member):
            return house.do(alice, groups.add_member, "crew", member)
        case ("leave", member):
            return house.do(alice, groups.remove_member, "crew", member)
        case ("unlock", target):
            return house.do(alice, locks.unlock, LockTarget.IDENTITY, str(target))
        case ("link",):
            return house.do(alice, activation.reissue, "lena")
        case ("redeem",):
            return house.do(HUB, activation.redeem, TOKEN, PASSWORD + " more")
        case ("credential",):
            return house.do(alice, service_accounts.issue, "bot")
        case _:
            return house.do(alice, roles.alter, "KEEPER", permissions=["manage:roles", "manage:users"])
