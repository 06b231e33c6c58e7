"""Who may end the role tokens of whom, and what that leaves behind."""

from __future__ import annotations

import json
from typing import Any

import pytest
from sqlalchemy import select, update

from aizen_hub.accounts import command_handlers as carry_out
from aizen_hub.accounts.roles import roles
from aizen_hub.accounts.sessions import locks, sessions
from aizen_hub.accounts.sessions.token_revocation import Whose, revoke
from aizen_hub.audit.integrity.state_comparison import compare
from aizen_hub.problems import Denied, NotFound, Problem
from aizen_hub.rbac.assignment import LockTarget
from aizen_hub.rbac.identity import Identity
from aizen_hub.rbac.role import SYSTEM
from aizen_hub.store import tables
from aizen_hub.store.actor import Road
from aizen_hub.tokens.opaque_token import hash_credential
from tests.accounts.harness import HUB, OPERATOR, House

USER, PROJECT, ALL = Whose.USER, Whose.PROJECT, Whose.ALL


def bounds(house: House) -> dict[str, Any]:
    """Return what has a bound in time, by its name."""
    with house.reading() as tx:
        found = {"all": tx.conn.scalar(select(tables.revision.c.not_before))}
        for table in (tables.users, tables.projects):
            found |= {str(row.name): row.not_before for row in tx.conn.execute(select(table)).all()}
    return {name: bound for name, bound in found.items() if bound is not None}


def cut(house: House) -> set[str]:
    """Return whose sessions' tokens ended by their revision."""
    with house.reading() as tx:
        return set(tx.conn.scalars(select(tables.sessions.c.user).where(tables.sessions.c.tokens_from.is_not(None))))


@pytest.fixture
def place(town: House) -> House:
    """With a session of everybody, and `lola`, who may lock: in the whole system, or in `p1` only."""
    town.people("lola")
    town.do(
        OPERATOR, roles.create, "LOCKER", permissions=["manage:locks", "enter:project"], scopes=["system", "project"]
    )
    for user, project in (("emma", "p1"), ("rita", "p1"), ("tim", "p2"), ("olga", "p2")):
        if user == "tim":
            town.give("PROJECT_READER", "p2", "tim")
        town.do(HUB, sessions.open, user, user, "", project, hash_credential(user))
    return town


CASES = [
    # who, where they may lock, whose tokens, of what name, refused as
    ("emma", None, USER, "emma", None),
    ("emma", None, USER, "EMMA", None),
    ("emma", None, USER, "rita", Denied),
    ("emma", None, USER, "nobody", Denied),
    ("paul", None, PROJECT, "p1", Denied),
    ("emma", None, PROJECT, "p2", NotFound),
    ("emma", None, PROJECT, "p9", NotFound),
    ("emma", None, ALL, "", Denied),
    ("lola", SYSTEM, USER, "emma", None),
    ("lola", SYSTEM, USER, "nobody", NotFound),
    ("lola", SYSTEM, USER, "", NotFound),
    ("lola", SYSTEM, PROJECT, "p1", None),
    ("lola", SYSTEM, PROJECT, "p9", NotFound),
    ("lola", SYSTEM, ALL, "", None),
    ("lola", "p1", USER, "emma", Denied),
    ("lola", "p1", PROJECT, "p1", None),
    ("lola", "p1", PROJECT, "p2", NotFound),
    ("lola", "p1", ALL, "", Denied),
    ("admin", None, USER, "emma", None),
    ("admin", None, PROJECT, "p1", None),
    ("admin", None, ALL, "", None),
]


@pytest.mark.proves("R47", "R60", "R72")
@pytest.mark.parametrize(("who", "where", "whose", "name", "refused"), CASES)
def test_who_may(
    place: House, who: str, where: str | None, whose: Whose, name: str, refused: type[Problem] | None
) -> None:
    if where is not None:
        place.give("LOCKER", where, who)
    if refused is not None:
        with pytest.raises(refused):
            place.do(who, revoke, whose, name)
        assert (bounds(place), cut(place)) == ({}, set())
        return
    now = place.now()
    place.do(who, revoke, whose, name, reason="seen elsewhere")
    subject = name.lower() or "all"
    assert set(bounds(place)) == {subject}
    assert bounds(place)[subject] == now.replace(microsecond=0)
    members = {USER: {"emma"}, PROJECT: {"emma", "rita"}, ALL: {"emma", "rita", "tim", "olga"}}
    assert cut(place) == members[whose]


@pytest.mark.proves("R70")
def test_nobody_does_it_for_somebody_else_or_when_locked(place: House) -> None:
    for whose, name in ((USER, "emma"), (PROJECT, "p1"), (ALL, "")):
        with pytest.raises(Denied):
            place.do(place.actor("admin", acting=Identity.service_account("agent")), revoke, whose, name)
    with pytest.raises(Denied):
        place.do(place.actor("emma", acting=Identity.service_account("agent")), revoke, USER, "emma")
    place.do("admin", locks.lock, LockTarget.IDENTITY, "user:lola", reason="x")
    place.give("LOCKER", SYSTEM, "lola")
    with pytest.raises(Denied):
        place.do("lola", revoke, USER, "emma")
    assert bounds(place) == {}


@pytest.mark.proves("R77")
@pytest.mark.parametrize("road", [Road.KERNEL, Road.CLI, Road.SERVICE_ACCOUNT])
def test_to_end_all_waits_for_confirmation(place: House, road: Road) -> None:
    answer = place.do(place.actor("admin", road), revoke, ALL, reason="leaked")
    assert answer.pending
    assert (bounds(place), cut(place)) == ({}, set())
    with pytest.raises(Denied):
        place.do("emma", carry_out.confirm, answer.pending)
    place.do("admin", carry_out.confirm, answer.pending)
    assert set(bounds(place)) == {"all"}
    for whose, name in ((USER, "emma"), (PROJECT, "p1")):
        assert place.do(place.actor("admin", road), revoke, whose, name).pending is None


@pytest.mark.proves("R77")
def test_in_the_panel_it_needs_a_fresh_sign_in(place: House) -> None:
    with pytest.raises(Denied) as caught:
        place.do(place.actor("admin", fresh_until=None), revoke, ALL)
    assert caught.value.more["reason"] == "fresh-login-required"
    assert place.do(OPERATOR, revoke, ALL).pending is None


@pytest.mark.proves("R47", "R93")
def test_its_record_says_what_it_wrote(house: House) -> None:
    house.do(HUB, sessions.open, "emma", "emma", "", "p1", hash_credential("emma"))
    house.do("admin", revoke, USER, "emma", reason="x" * 2_000)
    with house.reading() as tx:
        change = tx.conn.execute(select(tables.changes).order_by(tables.changes.c.revision.desc())).first()
        assert change is not None
        row = json.loads(tx.conn.scalars(select(tables.audit.c.body).where(tables.audit.c.id == change.audit_id)).one())
        bound = tx.conn.scalar(select(tables.users.c.not_before).where(tables.users.c.name == "emma"))
    assert bound is not None
    bound = int(bound.timestamp()) * 1_000_000
    assert change.payload == [
        {"kind": "not-before", "subject": "user:emma", "not_before": bound, "tokens_from": change.revision}
    ]
    assert (row["event"], row["identity"], row["reason"]) == ("tokens.revoked", "user:admin", "x" * 500)
    assert (row["details"]["subject"], row["details"]["sessions"]) == ("user:emma", 1)


@pytest.mark.proves("T-38")
@pytest.mark.parametrize(("whose", "name"), [(USER, "emma"), (PROJECT, "p1"), (ALL, "")])
def test_the_history_knows_it_and_misses_it(house: House, whose: Whose, name: str) -> None:
    for user in ("emma", "rita"):
        house.do(HUB, sessions.open, user, user, "", "p1", hash_credential(user))
    house.do("admin", revoke, whose, name)

    def found() -> list[str]:
        with house.reading() as tx:
            return [one.what for one in compare(tx.conn)]

    assert found() == []
    table = {USER: tables.users, PROJECT: tables.projects, ALL: tables.revision}[whose]
    ended = len(cut(house))
    with house.store.read() as tx:
        engine = tx.conn.engine
    with engine.begin() as conn:
        conn.execute(update(table).values(not_before=None))
        conn.execute(update(tables.sessions).values(tokens_from=None))
    what = {USER: "user", PROJECT: "project", ALL: "store"}[whose]
    assert sorted(found()) == sorted([what, *["session"] * ended])
