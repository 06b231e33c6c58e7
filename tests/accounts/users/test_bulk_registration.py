"""Registration of many people from a table: the plan names what becomes of each row, and batches carry it out."""

from __future__ import annotations

import pytest

from aizen_hub.accounts.users import bulk_registration
from aizen_hub.accounts.users.bulk_registration import RowState
from aizen_hub.commands.users_table import read_users_table
from aizen_hub.problems import Denied
from tests.accounts.harness import AccountsHarness

TABLE = """login,name,mail,roles,provider
nora,Nora Nilsson,nora@acme.example,,
rita,Rita Again,,,
ivan,Ivan,,PROJECT_CREATOR,
ivan,Ivan again,,,
Igor Bad,,,,
lucia,Lucia,not an address,,
otto,Otto,,WIZARD,
mona,Mona,,,nowhere
"""


def _plan(harness: AccountsHarness, actor: str = "admin", table: str = TABLE) -> bulk_registration.RegistrationPlan:
    rows = read_users_table(table)
    plan: bulk_registration.RegistrationPlan = harness.execute(actor, bulk_registration.plan_registration, rows)
    return plan


def test_the_plan_says_what_becomes_of_each_row(harness: AccountsHarness) -> None:
    plan = _plan(harness)
    assert [(planned.row.name, planned.state) for planned in plan.rows] == [
        ("nora", RowState.NEW),
        ("rita", RowState.REGISTERED),
        ("ivan", RowState.NEW),
        ("ivan", RowState.FAULTY),
        ("Igor Bad", RowState.FAULTY),
        ("lucia", RowState.FAULTY),
        ("otto", RowState.FAULTY),
        ("mona", RowState.FAULTY),
    ]
    faults = [planned.faults[0] for planned in plan.rows_in(RowState.FAULTY)]
    assert faults[0] == "this login is in line 4 already"
    for text, fault in zip(("email", "WIZARD", "nowhere"), faults[2:], strict=True):
        assert text in fault
    assert [row.name for row in plan.new] == ["nora", "ivan"]


def test_a_plan_changes_nothing_and_names_roles_that_the_actor_may_not_grant(harness: AccountsHarness) -> None:
    before = harness.state()
    with pytest.raises(Denied):
        _plan(harness, "paul")
    _plan(harness)
    assert harness.state() == before


def test_a_batch_registers_the_new_people_and_can_be_repeated(harness: AccountsHarness) -> None:
    rows = _plan(harness).new
    for _ in range(2):
        harness.execute("admin", bulk_registration.register_batch, rows, [], by_mail=False)
    assert harness.roles_of("ivan") == {"PROJECT_CREATOR"}
    plan = _plan(harness)
    assert not plan.new
    assert [planned.row.name for planned in plan.rows_in(RowState.REGISTERED)] == ["nora", "rita", "ivan"]


def test_links_are_sent_to_new_local_accounts_with_an_address(make_harness: object) -> None:
    harness: AccountsHarness = make_harness(
        alerts={"mail": {"host": "mail.acme.example", "sender": "hub@acme.example"}}
    )  # type: ignore[operator]
    rows = read_users_table(
        "login,mail,provider\nnora,nora@acme.example,local\nivan,,local\numa,uma@acme.example,ldap\n"
    )
    outgoing: list[object] = []
    harness.execute("admin", bulk_registration.register_batch, rows, outgoing, by_mail=True)
    assert [mailed.user for mailed in outgoing] == ["nora"]  # type: ignore[attr-defined]
