"""Users: registration, the users file, deletion that leaves nothing."""

from __future__ import annotations

import json

import pytest

from aizen_hub.accounts.groups import groups
from aizen_hub.accounts.logins import logins
from aizen_hub.accounts.sessions import locks, sessions
from aizen_hub.accounts.users import users
from aizen_hub.problems import BadInput, Denied, Escalation, NotFound, Problem
from aizen_hub.rbac.assignment import LockTarget
from aizen_hub.rbac.identity import Identity
from aizen_hub.rbac.role import SYSTEM
from aizen_hub.store import tables
from tests.accounts.harness import HUB, OPERATOR, House, count


def add(town: House, entries: object, who: str = "admin", command: str = "add users") -> object:
    return town.run(who, f"{command} u.json", files={"u.json": json.dumps(entries)})


def test_add_users_registers_everybody_with_everything(town: House) -> None:
    entries = [
        {"id": "Ann", "username": "Ann A", "email": "ann@example.org", "phone": "+15550100",
         "alerts": {"email": True, "phone": False}, "roles": ["PROJECT_CREATOR"]},
        {"id": "ben", "roles": []},
        {"id": "lena", "provider": "local"},
    ]  # fmt: skip
    answer = add(town, entries)
    assert answer.data["added"] == ["ann", "ben", "lena"]  # type: ignore[attr-defined]
    assert [one["user"] for one in answer.data["activations"]] == ["lena"]  # type: ignore[attr-defined]
    with town.reading() as tx:
        row = users.row_of(tx, "ANN")
    assert (row.display_name, row.email, row.phone, row.alerts, row.provider) == (
        "Ann A", "ann@example.org", "+15550100", {"email": True, "phone": False}, "ldap",
    )  # fmt: skip
    assert town.roles_of("ann") == {"PROJECT_CREATOR"}
    assert town.roles_of("ben") == set()


@pytest.mark.parametrize("who", ["carl", "paul", "emma", "rita", "zoe"])
@pytest.mark.parametrize("command", ["add users", "alter users"])
def test_only_an_admin_uses_the_users_file(town: House, who: str, command: str) -> None:
    before = town.state()
    with pytest.raises(Denied):
        add(town, [{"id": "tim" if "alter" in command else "ann"}], who, command)
    assert town.state() == before


FAULTS = [
    ({"id": "rita"}, "/1/id", "already"),
    ({"id": "adrnin"}, "/1/id", "looks like"),
    ({"id": "good"}, "/1/id", "index 0"),
    ({"id": "g00d"}, "/1/id", "looks like"),
    ({"id": "a b"}, "/1/id", "blank"),
    ({"id": ""}, "/1/id", ""),
    ({"id": "x", "roles": ["PROJECT_READER"]}, "/1/roles/0", ""),
    ({"id": "x", "roles": ["NO_SUCH"]}, "/1/roles/0", ""),
    ({"id": "x", "roles": "PROJECT_CREATOR"}, "/1/roles", ""),
    ({"id": "x", "email": "no address"}, "/1/email", ""),
    ({"id": "x", "provider": "nowhere"}, "/1/provider", "no provider"),
    ({"id": "x", "admin": True}, "/1/admin", ""),
    ({}, "/1/id", ""),
]


@pytest.mark.proves("R74", "R76")
@pytest.mark.parametrize(("entry", "pointer", "words"), FAULTS, ids=[json.dumps(one[0]) for one in FAULTS])
def test_one_bad_row_changes_nothing_and_is_named(town: House, entry: object, pointer: str, words: str) -> None:
    before = town.state()
    with pytest.raises(BadInput) as caught:
        add(town, [{"id": "good"}, entry])
    assert [fault.pointer for fault in caught.value.faults] == [pointer]
    assert words in caught.value.faults[0].detail
    assert town.state() == before


def test_every_fault_is_reported_at_once(town: House) -> None:
    with pytest.raises(BadInput) as caught:
        add(town, [{"id": "rita"}, {"id": "ok"}, {"id": "paul"}, {"id": "x y"}])
    assert [fault.pointer for fault in caught.value.faults] == ["/0/id", "/2/id", "/3/id"]


def test_faults_of_form_and_of_content_come_together(town: House) -> None:
    rows = [{"id": "rita"}, {"id": "nina", "roles": ["NOPE"], "x": 1}, {"id": "a b", "provider": "nowhere"}, 7, {}]
    before = town.state()
    with pytest.raises(BadInput) as caught:
        add(town, rows)
    pointers = {fault.pointer for fault in caught.value.faults}
    assert {"/0/id", "/1/roles/0", "/1/x", "/2/id", "/2/provider", "/3", "/4/id"} == pointers
    with pytest.raises(BadInput) as caught:
        add(town, [{"id": "nobody"}, {"id": "rita", "roles": ["NOPE"]}], command="alter users")
    assert {fault.pointer for fault in caught.value.faults} == {"/0/id", "/1/roles/0"}
    assert town.state() == before


def test_alter_users_leaves_others_and_what_is_not_named(town: House) -> None:
    town.give("PROJECT_CREATOR", SYSTEM, "tim")
    add(town, [{"id": "tim", "email": "tim@example.org"}], command="alter users")
    assert town.roles_of("tim") == {"PROJECT_CREATOR"}
    assert town.roles_of("carl") == {"PROJECT_CREATOR"}
    add(town, [{"id": "tim", "roles": []}], command="alter users")
    with town.reading() as tx:
        row = users.row_of(tx, "tim")
    assert (town.roles_of("tim"), row.email) == (set(), "tim@example.org")
    assert town.roles_of("carl") == {"PROJECT_CREATOR"}


def test_alter_users_names_who_is_not_registered(town: House) -> None:
    with pytest.raises(BadInput) as caught:
        add(
            town,
            [{"id": "ghost"}, {"id": "tim"}, {"id": "TIM"}, {"id": "rita", "provider": "local"}],
            command="alter users",
        )
    assert [fault.pointer for fault in caught.value.faults] == ["/0/id", "/2/id", "/3/provider"]


def test_everybody_changes_their_own_contact_data_only(town: House) -> None:
    town.do("rita", users.alter, "rita", email="rita@example.org", alerts={"email": True, "phone": False})
    with pytest.raises(Denied):
        town.do("rita", users.alter, "emma", email="x@example.org")
    town.do("admin", users.alter, "rita", phone="+1555")
    with town.reading() as tx:
        row = users.row_of(tx, "rita")
    assert (row.email, row.phone) == ("rita@example.org", "+1555")


def test_one_way_of_alerts_changes_alone(town: House) -> None:
    town.do("rita", users.alter, "rita", alerts={"email": True, "phone": True})
    town.do("rita", users.alter, "rita", alerts={"email": False})
    with town.reading() as tx:
        assert users.row_of(tx, "rita").alerts == {"email": False, "phone": True}


def test_contact_data_is_not_kept_in_the_change_records(town: House) -> None:
    add(town, [{"id": "ann", "username": "Ann Arbor", "email": "secret@example.org", "phone": "+15550199"}])
    town.do("admin", users.alter, "ann", email="other@example.org")
    tx = town.trial_tx
    assert tx is not None
    kept = repr(tx._changes) + repr(tx._rows)
    assert not any(word in kept for word in ("secret@", "other@", "15550199", "Arbor"))


@pytest.mark.proves("R72")
def test_contact_data_is_for_those_who_manage_users(town: House) -> None:
    town.do("admin", users.alter, "rita", email="rita@example.org")
    assert "email" in town.run("admin", "list users").columns
    for who, project in (("carl", None), ("paul", "p1")):
        answer = town.run(who, "list users", project=project)
        assert answer.columns == ("id", "username")
        assert "rita@example.org" not in repr(answer)
    for who, project in (("paul", None), ("paul", "p2"), ("emma", "p1"), ("rita", "p1"), ("zoe", None)):
        with pytest.raises(Problem):
            town.run(who, "list users", project=project)


@pytest.mark.proves("R31")
def test_a_deletion_leaves_nothing_behind(town: House) -> None:
    town.give("PROJECT_READER", "p1", "tim")
    town.do(OPERATOR, groups.create, "crew")
    town.do(OPERATOR, groups.add_member, "crew", Identity.user("tim"))
    town.do(HUB, sessions.open, "tim", "tim", "", "p1", "a" * 64)
    town.do(OPERATOR, locks.lock, LockTarget.IDENTITY, "user:tim", reason="x")
    files = {"m": json.dumps([{"id": "paul", "roles": ["PROJECT_ADMIN"]}, {"id": "tim", "alerts": ["training"]}])}
    town.run("paul", "alter project p1,config=m", files=files)
    town.give("PROJECT_READER", "p1", "tim")
    town.run("admin", "delete user TIM")
    with town.reading() as tx:
        for table in (tables.assignments, tables.memberships, tables.locks, tables.project_alerts, tables.scope_limits):
            assert not {"tim", "user:tim"} & {
                cell for row in tx.conn.execute(table.select()) for cell in row if isinstance(cell, str)
            }
        assert not users.exists(tx, "tim")
        assert count(tx, tables.sessions) == 1
        assert tx.conn.execute(tables.sessions.select()).one().ended is not None
        assert not tx.rights(Identity.user("tim")).active


def test_delete_takes_both_forms_and_a_list(town: House) -> None:
    town.run("admin", "delete users tim, ZOE")
    town.run("admin", "delete user rita")
    assert isinstance(town.refused("admin", "delete users emma, ghost, rita"), NotFound)
    assert town.roles_of("emma", "p1") == {"PROJECT_EXECUTOR"}
    for who in ("carl", "paul", "emma"):
        assert town.refused(who, "delete user emma").status == 403


def test_a_new_user_joins_the_default_groups(town: House) -> None:
    town.do("admin", groups.create, "everybody")
    town.do("admin", groups.set_default, "everybody", True)
    town.people("ann")
    with town.reading() as tx:
        assert tx.rights(Identity.user("ann")).groups == {Identity.group("everybody")}
        assert tx.rights(Identity.user("tim")).groups == frozenset()


def test_the_users_file_is_strict_json(town: House) -> None:
    for text in (
        '[{"id": "a", "id": "b"}]',
        "[NaN]",
        "{",
        "[" * 40,
        '[{"id": "\\ud800"}]',
        "[] []",
        "null",
        '"x"',
        "3",
    ):
        before = town.state()
        with pytest.raises(Problem):
            town.run("admin", "add users u", files={"u": text})
        assert town.state() == before


@pytest.mark.proves("R111")
def test_a_file_that_did_not_come_along_is_never_opened(town: House) -> None:
    with pytest.raises(BadInput, match="did not come"):
        town.run("admin", 'add users "/etc/passwd"')


@pytest.mark.proves("R66", "R67", "T-04")
@pytest.mark.parametrize("role", ["AIZEN_ADMIN", "PROJECT_CREATOR"])
def test_who_only_manages_users_gives_and_takes_no_roles_by_the_file(town: House, role: str) -> None:
    from aizen_hub.accounts.roles import roles

    town.do("admin", roles.create, "REGISTRAR", permissions=["manage:users"], scopes=["system"])
    town.give("REGISTRAR", SYSTEM, "tim")
    add(town, [{"id": "ann"}], "tim")
    town.give(role, SYSTEM, "olga")
    before = town.state()
    for entries, command, pointer in (
        ([{"id": "ben", "roles": [role]}], "add users", "/0/roles"),
        ([{"id": "ann"}, {"id": "zoe", "roles": [role]}], "alter users", "/1/roles"),
        ([{"id": "olga", "roles": []}], "alter users", "/0/roles"),
    ):
        with pytest.raises(Escalation) as caught:
            add(town, entries, "tim", command)
        assert [fault.pointer for fault in caught.value.faults] == [pointer]
        assert town.state() == before


NO_ADDRESSES = (
    "a:;@b", "x@a, y@b", "a@b,", "<a@b>", "Ann <a@b>", '"a b"@c', "a@[127.0.0.1]", "a@b\nBcc: c@d", "a@b\n", " a@b",
    "a@@b", "a@", "@b", "ann", "\u00e4@b", "a@\u0430", "a@b..c", ".a@b", "a@-b", "a" * 65 + "@b",
    "a@" + "b." * 130 + "c",
)  # fmt: skip


@pytest.mark.proves("R99")
@pytest.mark.parametrize("address", NO_ADDRESSES)
def test_contact_data_holds_one_plain_address_or_none(town: House, address: str) -> None:
    for who, work in (("rita", users.alter), ("admin", users.alter)):
        with pytest.raises(BadInput, match="is not one mail address"):
            town.do(who, work, "rita", email=address)
    with pytest.raises(BadInput, match="is not one mail address"):
        town.do("admin", users.create, "nina", provider="ldap", email=address)
    with pytest.raises(BadInput):
        add(town, [{"id": "nina", "email": address}])
    # What a directory says keeps nobody out, and is not taken over either.
    assert town.do(HUB, logins.report, "ldap", "uid-rita", "rita", email=address).outcome is logins.Outcome.ADMITTED
    with town.reading() as tx:
        assert users.row_of(tx, "rita").email is None
    for good in ("rita@example.org", "r.o'b+x=1@a-b.c3", "root@localhost"):
        town.do("rita", users.alter, "rita", email=good)
        with town.reading() as tx:
            assert users.row_of(tx, "rita").email == good
    town.do("rita", users.alter, "rita", email="")
    with town.reading() as tx:
        assert users.row_of(tx, "rita").email is None
