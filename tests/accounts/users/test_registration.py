"""Users: registration, the users file, and deletion that leaves nothing behind."""

from __future__ import annotations

import json

import pytest

from aizen_hub.accounts import identities
from aizen_hub.accounts.groups import management, membership
from aizen_hub.accounts.logins import login_report
from aizen_hub.accounts.sessions import locks, server_sessions
from aizen_hub.accounts.users import profiles, registration
from aizen_hub.problems import BadInput, Denied, Escalation, NotFound, Problem
from aizen_hub.rbac.assignment import LockTarget
from aizen_hub.rbac.identity import Identity
from aizen_hub.rbac.role import SYSTEM
from aizen_hub.store import tables
from tests.accounts.harness import HUB, OPERATOR, AccountsHarness, count_rows


def add(sandbox: AccountsHarness, entries: object, user: str = "admin", command: str = "add users") -> object:
    return sandbox.run_command(user, f"{command} u.json", files={"u.json": json.dumps(entries)})


def test_add_users_registers_all_users_with_all_data(sandbox: AccountsHarness) -> None:
    entries = [
        {"id": "Ann", "username": "Ann A", "email": "ann@example.org", "phone": "+15550100",
         "alerts": {"email": True, "phone": False}, "roles": ["PROJECT_CREATOR"]},
        {"id": "ben", "roles": []},
        {"id": "lena", "provider": "local"},
    ]  # fmt: skip
    result = add(sandbox, entries)
    assert result.data["added"] == ["ann", "ben", "lena"]  # type: ignore[attr-defined]
    assert [one["user"] for one in result.data["activations"]] == ["lena"]  # type: ignore[attr-defined]
    with sandbox.read() as tx:
        row = identities.get_user(tx, "ANN")
    assert (row.display_name, row.email, row.phone, row.alerts, row.provider) == (
        "Ann A", "ann@example.org", "+15550100", {"email": True, "phone": False}, "ldap",
    )  # fmt: skip
    assert sandbox.roles_of("ann") == {"PROJECT_CREATOR"}
    assert sandbox.roles_of("ben") == set()


@pytest.mark.parametrize("user", ["carl", "paul", "emma", "rita", "zoe"])
@pytest.mark.parametrize("command", ["add users", "alter users"])
def test_only_an_admin_uses_the_users_file(sandbox: AccountsHarness, user: str, command: str) -> None:
    before = sandbox.state()
    with pytest.raises(Denied):
        add(sandbox, [{"id": "tim" if "alter" in command else "ann"}], user, command)
    assert sandbox.state() == before


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
def test_one_bad_row_changes_nothing_and_is_named(
    sandbox: AccountsHarness, entry: object, pointer: str, words: str
) -> None:
    before = sandbox.state()
    with pytest.raises(BadInput) as caught:
        add(sandbox, [{"id": "good"}, entry])
    assert [fault.pointer for fault in caught.value.faults] == [pointer]
    assert words in caught.value.faults[0].detail
    assert sandbox.state() == before


def test_every_fault_is_reported_at_once(sandbox: AccountsHarness) -> None:
    with pytest.raises(BadInput) as caught:
        add(sandbox, [{"id": "rita"}, {"id": "ok"}, {"id": "paul"}, {"id": "x y"}])
    assert [fault.pointer for fault in caught.value.faults] == ["/0/id", "/2/id", "/3/id"]


def test_faults_of_form_and_of_content_come_together(sandbox: AccountsHarness) -> None:
    rows = [{"id": "rita"}, {"id": "nina", "roles": ["NOPE"], "x": 1}, {"id": "a b", "provider": "nowhere"}, 7, {}]
    before = sandbox.state()
    with pytest.raises(BadInput) as caught:
        add(sandbox, rows)
    pointers = {fault.pointer for fault in caught.value.faults}
    assert {"/0/id", "/1/roles/0", "/1/x", "/2/id", "/2/provider", "/3", "/4/id"} == pointers
    with pytest.raises(BadInput) as caught:
        add(sandbox, [{"id": "unknown"}, {"id": "rita", "roles": ["NOPE"]}], command="alter users")
    assert {fault.pointer for fault in caught.value.faults} == {"/0/id", "/1/roles/0"}
    assert sandbox.state() == before


def test_alter_users_leaves_others_and_what_is_not_named(sandbox: AccountsHarness) -> None:
    sandbox.grant("PROJECT_CREATOR", SYSTEM, "tim")
    add(sandbox, [{"id": "tim", "email": "tim@example.org"}], command="alter users")
    assert sandbox.roles_of("tim") == {"PROJECT_CREATOR"}
    assert sandbox.roles_of("carl") == {"PROJECT_CREATOR"}
    add(sandbox, [{"id": "tim", "roles": []}], command="alter users")
    with sandbox.read() as tx:
        row = identities.get_user(tx, "tim")
    assert (sandbox.roles_of("tim"), row.email) == (set(), "tim@example.org")
    assert sandbox.roles_of("carl") == {"PROJECT_CREATOR"}


def test_alter_users_names_who_is_not_registered(sandbox: AccountsHarness) -> None:
    with pytest.raises(BadInput) as caught:
        add(
            sandbox,
            [{"id": "ghost"}, {"id": "tim"}, {"id": "TIM"}, {"id": "rita", "provider": "local"}],
            command="alter users",
        )
    assert [fault.pointer for fault in caught.value.faults] == ["/0/id", "/2/id", "/3/provider"]


def test_users_change_only_their_own_contact_data(sandbox: AccountsHarness) -> None:
    sandbox.execute(
        "rita", profiles.update_user, "rita", email="rita@example.org", alerts={"email": True, "phone": False}
    )
    with pytest.raises(Denied):
        sandbox.execute("rita", profiles.update_user, "emma", email="x@example.org")
    sandbox.execute("admin", profiles.update_user, "rita", phone="+1555")
    with sandbox.read() as tx:
        row = identities.get_user(tx, "rita")
    assert (row.email, row.phone) == ("rita@example.org", "+1555")


def test_one_way_of_alerts_changes_alone(sandbox: AccountsHarness) -> None:
    addresses = {"email": "rita@example.org", "phone": "+1555"}
    sandbox.execute("rita", profiles.update_user, "rita", **addresses, alerts={"email": True, "phone": True})
    sandbox.execute("rita", profiles.update_user, "rita", alerts={"email": False})
    with sandbox.read() as tx:
        assert identities.get_user(tx, "rita").alerts == {"email": False, "phone": True}


def test_contact_data_is_not_kept_in_the_change_records(sandbox: AccountsHarness) -> None:
    add(sandbox, [{"id": "ann", "username": "Ann Arbor", "email": "secret@example.org", "phone": "+15550199"}])
    sandbox.execute("admin", profiles.update_user, "ann", email="other@example.org")
    tx = sandbox.outer_tx
    assert tx is not None
    kept = repr(tx._changes) + repr(tx._audit_records)
    assert not any(word in kept for word in ("secret@", "other@", "15550199", "Arbor"))


@pytest.mark.proves("R72")
def test_contact_data_is_for_those_who_manage_users(sandbox: AccountsHarness) -> None:
    sandbox.execute("admin", profiles.update_user, "rita", email="rita@example.org")
    assert "email" in sandbox.run_command("admin", "list users").columns
    for user, project in (("carl", None), ("paul", "p1")):
        result = sandbox.run_command(user, "list users", project=project)
        assert result.columns == ("id", "username")
        assert "rita@example.org" not in repr(result)
    for user, project in (("paul", None), ("paul", "p2"), ("emma", "p1"), ("rita", "p1"), ("zoe", None)):
        with pytest.raises(Problem):
            sandbox.run_command(user, "list users", project=project)


@pytest.mark.proves("R31")
def test_a_deletion_leaves_nothing_behind(sandbox: AccountsHarness) -> None:
    sandbox.grant("PROJECT_READER", "p1", "tim")
    sandbox.execute(OPERATOR, management.create_group, "crew")
    sandbox.execute(OPERATOR, membership.add_member, "crew", Identity.user("tim"))
    sandbox.execute(HUB, server_sessions.open_session, "tim", "tim", "", "p1", "a" * 64)
    sandbox.execute(OPERATOR, locks.lock_target, LockTarget.IDENTITY, "user:tim", reason="x")
    files = {"m": json.dumps([{"id": "paul", "roles": ["PROJECT_ADMIN"]}, {"id": "tim", "alerts": ["training"]}])}
    sandbox.run_command("paul", "alter project p1,config=m", files=files)
    sandbox.grant("PROJECT_READER", "p1", "tim")
    sandbox.run_command("admin", "delete user TIM")
    with sandbox.read() as tx:
        for table in (tables.assignments, tables.memberships, tables.locks, tables.project_alerts, tables.scope_limits):
            assert not {"tim", "user:tim"} & {
                cell for row in tx.conn.execute(table.select()) for cell in row if isinstance(cell, str)
            }
        assert not identities.user_exists(tx, "tim")
        assert count_rows(tx, tables.sessions) == 1
        assert tx.conn.execute(tables.sessions.select()).one().ended is not None
        assert not tx.rights(Identity.user("tim")).active


def test_delete_takes_both_forms_and_a_list(sandbox: AccountsHarness) -> None:
    sandbox.run_command("admin", "delete users tim, ZOE")
    sandbox.run_command("admin", "delete user rita")
    assert isinstance(sandbox.expect_problem("admin", "delete users emma, ghost, rita"), NotFound)
    assert sandbox.roles_of("emma", "p1") == {"PROJECT_EXECUTOR"}
    for user in ("carl", "paul", "emma"):
        assert sandbox.expect_problem(user, "delete user emma").status == 403


def test_a_new_user_joins_the_default_groups(sandbox: AccountsHarness) -> None:
    sandbox.execute("admin", management.create_group, "all-users")
    sandbox.execute("admin", management.set_default_group, "all-users", True)
    sandbox.register_users("ann")
    with sandbox.read() as tx:
        assert tx.rights(Identity.user("ann")).groups == {Identity.group("all-users")}
        assert tx.rights(Identity.user("tim")).groups == frozenset()


def test_the_users_file_is_strict_json(sandbox: AccountsHarness) -> None:
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
        before = sandbox.state()
        with pytest.raises(Problem):
            sandbox.run_command("admin", "add users u", files={"u": text})
        assert sandbox.state() == before


@pytest.mark.proves("R111")
def test_a_file_that_did_not_come_along_is_never_opened(sandbox: AccountsHarness) -> None:
    with pytest.raises(BadInput, match="were not sent"):
        sandbox.run_command("admin", 'add users "/etc/passwd"')


@pytest.mark.proves("R66", "R67", "T-04")
@pytest.mark.parametrize("role", ["AIZEN_ADMIN", "PROJECT_CREATOR"])
def test_who_only_manages_users_gives_and_takes_no_roles_by_the_file(sandbox: AccountsHarness, role: str) -> None:
    from aizen_hub.accounts.roles import custom_roles

    sandbox.execute("admin", custom_roles.create_role, "REGISTRAR", permissions=["manage:users"], scopes=["system"])
    sandbox.grant("REGISTRAR", SYSTEM, "tim")
    add(sandbox, [{"id": "ann"}], "tim")
    sandbox.grant(role, SYSTEM, "olga")
    before = sandbox.state()
    for entries, command, pointer in (
        ([{"id": "ben", "roles": [role]}], "add users", "/0/roles"),
        ([{"id": "ann"}, {"id": "zoe", "roles": [role]}], "alter users", "/1/roles"),
        ([{"id": "olga", "roles": []}], "alter users", "/0/roles"),
    ):
        with pytest.raises(Escalation) as caught:
            add(sandbox, entries, "tim", command)
        assert [fault.pointer for fault in caught.value.faults] == [pointer]
        assert sandbox.state() == before


NO_ADDRESSES = (
    "a:;@b", "x@a, y@b", "a@b,", "<a@b>", "Ann <a@b>", '"a b"@c', "a@[127.0.0.1]", "a@b\nBcc: c@d", "a@b\n", " a@b",
    "a@@b", "a@", "@b", "ann", "\u00e4@b", "a@\u0430", "a@b..c", ".a@b", "a@-b", "a" * 65 + "@b",
    "a@" + "b." * 130 + "c",
)  # fmt: skip


@pytest.mark.proves("R99")
@pytest.mark.parametrize("address", NO_ADDRESSES)
def test_contact_data_holds_one_plain_address_or_none(sandbox: AccountsHarness, address: str) -> None:
    for who, work in (("rita", profiles.update_user), ("admin", profiles.update_user)):
        with pytest.raises(BadInput, match="is not an e-mail address"):
            sandbox.execute(who, work, "rita", email=address)
    with pytest.raises(BadInput, match="is not an e-mail address"):
        sandbox.execute("admin", registration.create_user, "nina", provider="ldap", email=address)
    with pytest.raises(BadInput):
        add(sandbox, [{"id": "nina", "email": address}])
    # Invalid contact data of a directory does not prevent a login, and is not stored.
    assert (
        sandbox.execute(HUB, login_report.report_login, "ldap", "uid-rita", "rita", email=address).outcome
        is login_report.LoginOutcome.ADMITTED
    )
    with sandbox.read() as tx:
        assert identities.get_user(tx, "rita").email is None
    for good in ("rita@example.org", "r.o'b+x=1@a-b.c3", "root@localhost"):
        sandbox.execute("rita", profiles.update_user, "rita", email=good)
        with sandbox.read() as tx:
            assert identities.get_user(tx, "rita").email == good
    sandbox.execute("rita", profiles.update_user, "rita", email="")
    with sandbox.read() as tx:
        assert identities.get_user(tx, "rita").email is None
