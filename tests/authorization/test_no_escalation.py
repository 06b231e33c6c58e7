"""A search over a small world: no sequence of allowed operations widens what one person controls (R68).

What is hers: her own rights, those that reach her through groups, and those of a service account for which she has
a credential. The exceptions of the design are left out: `create project`, and an AIZEN_ADMIN who takes
PROJECT_CREATOR. Somebody whom an administrator registers is another person, as the design has it, even if nobody but
the administrator ever signs in as that person.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator

import pytest

from aizen_hub.accounts.groups import groups
from aizen_hub.accounts.roles import access_requests as requests
from aizen_hub.accounts.roles import assignments, roles
from aizen_hub.accounts.service_accounts import service_accounts
from aizen_hub.catalogs.loader import load_catalog
from aizen_hub.problems import Problem
from aizen_hub.rbac import escalation
from aizen_hub.rbac.default_denials import covers
from aizen_hub.rbac.permission import Permission
from aizen_hub.rbac.role import SYSTEM
from aizen_hub.store import tables
from aizen_hub.store.transaction import Write
from tests.accounts.harness import OPERATOR, House
from tests.authorization.rbac_model import ALICE, SCOPES, Operation, World, beginnings, operations, puppet_roles

MOST_OF_PUPPETS = 1
"""The search goes no further from states in which puppets have more roles: every rule about a puppet is asked role by
role, so a set of roles is refused or allowed as its members are."""
SAMPLES = 250


def reachable(begin: World, doing: list[Operation], seen: set[object]) -> Iterator[tuple[World, Operation, World]]:
    """Yield every step that can be made from ``begin`` on, except from the states in ``seen``."""
    front = [begin] if begin.key not in seen else []
    seen.add(begin.key)
    while front:
        world = front.pop()
        for operation in doing:
            after = world.after(operation)
            if after is None or after.key == world.key:
                continue
            yield world, operation, after
            if after.key not in seen and puppet_roles(after) <= MOST_OF_PUPPETS:
                seen.add(after.key)
                front.append(after)


def allowed_in(begin: World) -> dict[str, frozenset[Permission]]:
    hers = begin.hers
    if (ALICE, "AIZEN_ADMIN", SYSTEM) in begin.held:
        creator = begin.roles["PROJECT_CREATOR"].permissions
        hers = {scope: had | creator for scope, had in hers.items()}
    return hers


def wider(begin: World, after: World) -> list[tuple[str, str]]:
    allowed = allowed_in(begin)
    return [(scope, str(one)) for scope in SCOPES for one in after.hers[scope] if not covers(allowed[scope], one)]


def search() -> int:
    catalog, doing = load_catalog("aizen"), operations()
    visited = 0
    for worlds in beginnings(catalog):
        seen: set[object] = set()
        for begin in worlds:
            for world, operation, after in reachable(begin, doing, seen):
                assert not wider(begin, after), (begin.key, world.key, operation, wider(begin, after))
        visited += len(seen)
    return visited


@pytest.mark.proves("R68", "R67", "T-04")
def test_no_sequence_of_operations_widens_one_s_own_rights() -> None:
    assert search() > 1_000


@pytest.mark.parametrize("hole", ["_is_own", "missing_to_control", "missing_to_enrol"])
def test_the_search_would_find_a_hole(monkeypatch: pytest.MonkeyPatch, hole: str) -> None:
    where = escalation if hole == "_is_own" else "tests.authorization.rbac_model"
    if isinstance(where, str):
        monkeypatch.setattr(f"{where}.{hole}", lambda *_, **__: ())
    else:
        monkeypatch.setattr(where, hole, lambda *_: False)
    with pytest.raises(AssertionError):
        search()


@pytest.fixture
def world(shared_town: House) -> Iterator[House]:
    with shared_town.trial() as trial:
        trial.people("alice")
        trial.do(OPERATOR, roles.create, "TRAINER", permissions=["execute:training"], scopes=["system", "project"])
        trial.do(OPERATOR, groups.create, "crew")
        trial.do(OPERATOR, service_accounts.create, "robot")
        trial.do(OPERATOR, lambda tx: tx.conn.execute(tables.service_accounts.update().values(controller=str(ALICE))))
        yield trial


@pytest.mark.proves("R68", "R67", "T-04")
def test_the_rooms_do_what_the_small_world_does(world: House) -> None:
    """Random states of the search, set up on a real database: the functions allow exactly what the world allows."""
    choose = random.Random(20260101)
    catalog, doing = world.catalog, operations()
    begins = [begin for worlds in beginnings(catalog) for begin in worlds]
    cases = [(begin, operation) for begin in begins for operation in doing]
    steps = [step for begin in choose.sample(begins, 25) for step in reachable(begin, doing, set())]
    cases = choose.sample(cases, SAMPLES) + [(at, operation) for at, operation, _ in choose.sample(steps, SAMPLES)]
    allowed = 0
    for at, operation in cases:
        with world.writing(OPERATOR) as tx, _TakenBack(tx):
            set_up(world, tx, at)
            expected = at.after(operation) is not None
            try:
                carry_out(world, operation)
                done = True
            except Problem:
                done = False
            assert done == expected, (at.key, operation)
            allowed += done
    assert allowed > SAMPLES / 2


def set_up(house: House, tx: Write, world: World) -> None:
    for who, role, scope in world.held:
        if role != "MINE":
            house.give(role, scope, who)
    for member in world.members:
        house.do(OPERATOR, groups.add_member, "crew", member)
    if world.wide:
        house.do(OPERATOR, roles.alter, "TRAINER", permissions=["execute:training", "delete"])
    if world.cloned:
        house.do(OPERATOR, roles.clone, "PROJECT_ADMIN", "MINE")
        for who, role, scope in world.held:
            if role == "MINE":
                house.give(role, scope, who)
    assert tx.roles


def carry_out(house: House, operation: Operation) -> object:
    match operation:
        case ("grant", role, scope, to):
            return house.do("alice", assignments.grant, [role], scope, to)
        case ("request", role, scope):
            return house.do("alice", _ask_and_approve, role, scope)
        case ("revoke", role, scope, holder):
            return house.do("alice", assignments.revoke, [role], scope, holder)
        case ("project file", str(scope)):
            # Those whom the town has there stay, whatever they are.
            kept = {"p1": ["paul", "PROJECT_ADMIN", "emma", "PROJECT_EXECUTOR", "rita", "PROJECT_READER"]}
            rest = kept.get(scope, ["olga", "PROJECT_ADMIN"])
            with house.reading() as tx:
                found = tables.assignments.c
                mine = list(
                    tx.conn.execute(
                        tables.assignments.select().where(found.identity == str(ALICE), found.scope == scope)
                    )
                )
            entries = [{"id": name, "roles": [role]} for name, role in zip(rest[::2], rest[1::2], strict=True)]
            entries.append({"id": "alice", "roles": sorted({"PROJECT_ADMIN", *(row.role for row in mine)})})
            return house.run("alice", f"alter project {scope},config=m", files={"m": json.dumps(entries)})
        case ("users file", role):
            present = sorted(house.roles_of("alice") | {str(role)})
            text = json.dumps([{"id": "alice", "roles": present}])
            return house.run("alice", "alter users u", files={"u": text})
        case ("join", member):
            return house.do("alice", groups.add_member, "crew", member)
        case ("leave", member):
            return house.do("alice", groups.remove_member, "crew", member)
        case ("credential",):
            return house.do("alice", service_accounts.issue, "robot")
        case ("widen",):
            return house.do("alice", roles.alter, "TRAINER", permissions=["execute:training", "delete"])
        case _:
            return house.do("alice", roles.clone, "PROJECT_ADMIN", "MINE")


def _ask_and_approve(tx: Write, role: str, scope: str) -> object:
    asked = requests.ask(tx, role, scope)
    return requests.approve(tx, asked.data["request"])


class _TakenBack:
    """A part of a trial that is taken back."""

    def __init__(self, tx: Write) -> None:
        self.tx = tx

    def __enter__(self) -> None:
        self.point = self.tx.conn.begin_nested()

    def __exit__(self, *error: object) -> None:
        self.point.rollback()
        self.tx.change("taken-back", {}, ["*"])
