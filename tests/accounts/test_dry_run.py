"""Dry runs: what a change would give and take, in effective rights and in roles."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from typing import Any

import pytest

from aizen_hub.accounts import dry_run as dry_run_module
from aizen_hub.accounts.dry_run import dry_run
from aizen_hub.accounts.roles import assignments, custom_roles
from aizen_hub.accounts.sessions import locks
from aizen_hub.commands.result import Result, message_result
from aizen_hub.problems import Conflict
from aizen_hub.rbac.assignment import LockTarget
from aizen_hub.rbac.identity import Identity
from aizen_hub.store import tables
from aizen_hub.store.transaction import WriteTransaction, make_audit_record
from tests.accounts.harness import OPERATOR, AccountsHarness

BOB = Identity.user("bob")
SCOPES = ["system", "project"]


@pytest.fixture
def preview_harness(harness: AccountsHarness) -> AccountsHarness:
    """Bob reads two projects; WIDE is a custom role of the system and of projects."""
    harness.register_users("bob", "ada")
    for project in ("churn", "fraud"):
        harness.create_project(project, "ada")
        harness.grant("PROJECT_READER", project, BOB)
    harness.execute(OPERATOR, custom_roles.create_role, "WIDE", permissions=["read", "execute"], scopes=SCOPES)
    harness.execute(OPERATOR, custom_roles.create_role, "EVERYTHING", permissions=["*"], scopes=["system"])
    return harness


def preview(harness: AccountsHarness, change: Any) -> dict[tuple[str, str], tuple[list[str], list[str]]]:
    result = dry_run(harness.store, OPERATOR, change)
    return {(row[0], row[1]): (row[2], row[3]) for row in result.rows}


def test_a_wide_right_that_covers_a_narrow_one_loses_nothing(preview_harness: AccountsHarness) -> None:
    """A reader of one project gets a role of the system that reads everything, and gives up the narrow one."""

    def widen(tx: WriteTransaction) -> Result:
        assignments.grant_roles(tx, ["WIDE"], "system", BOB)
        return assignments.revoke_roles(tx, ["PROJECT_READER"], "churn", BOB)

    rows = preview(preview_harness, widen)
    assert rows.pop(("user:bob", "system")) == (["WIDE"], [])
    # `enter:project` alone comes with any role of a project; the role of the system does not have it.
    assert all(not gains for gains, _ in rows.values())
    rights = dry_run(preview_harness.store, OPERATOR, widen).data["permissions"]
    assert [right["loses"] for right in rights if right["scope"] == "churn"] in ([], [["enter:project"]])


def test_a_narrow_role_that_a_wide_one_covers_is_not_a_loss(preview_harness: AccountsHarness) -> None:
    preview_harness.grant("EVERYTHING", "system", BOB)
    rows = preview(preview_harness, lambda tx: assignments.revoke_roles(tx, ["PROJECT_READER"], "churn", BOB))
    assert rows == {}


def test_a_wide_role_that_goes_is_lost_once_and_not_in_every_project(preview_harness: AccountsHarness) -> None:
    preview_harness.grant("WIDE", "system", BOB)
    rows = preview(preview_harness, lambda tx: assignments.revoke_roles(tx, ["WIDE"], "system", BOB))
    assert rows == {("user:bob", "system"): ([], ["WIDE"])}


def test_a_preview_speaks_in_roles_and_tells_permissions_on_request(preview_harness: AccountsHarness) -> None:
    def promote(tx: WriteTransaction) -> Result:
        return assignments.grant_roles(tx, ["PROJECT_ADMIN"], "churn", BOB)

    result = dry_run(preview_harness.store, OPERATOR, promote)
    assert result.rows == (("user:bob", "churn", ["PROJECT_ADMIN"], []),)
    (rights,) = result.data["permissions"]
    assert "delete:*" in rights["gains"]
    assert not rights["loses"]


def test_a_changed_role_is_named_as_changed(preview_harness: AccountsHarness) -> None:
    preview_harness.grant("WIDE", "churn", BOB)
    rows = preview(preview_harness, lambda tx: custom_roles.update_role(tx, "WIDE", permissions=["read"]))
    assert rows == {("user:bob", "churn"): ([], ["WIDE (changed)"])}


def test_a_role_of_an_administrator_is_shown_although_it_gives_no_permission(preview_harness: AccountsHarness) -> None:
    """What a role may grant counts too."""
    preview_harness.grant("EVERYTHING", "system", BOB)
    rows = preview(preview_harness, lambda tx: assignments.grant_roles(tx, ["PROJECT_CREATOR"], None, BOB))
    assert rows == {("user:bob", "system"): (["PROJECT_CREATOR"], [])}


@pytest.mark.proves("R78")
def test_archiving_loses_what_changes_the_project(preview_harness: AccountsHarness) -> None:
    archive = (LockTarget.ARCHIVE, "churn")
    preview_harness.grant("PROJECT_EXECUTOR", "churn", "ada")
    loses = preview(preview_harness, lambda tx: locks.lock_target(tx, *archive, reason="over"))
    assert "PROJECT_EXECUTOR" in loses["user:ada", "churn"][1]
    assert not {("user:bob", "churn"), ("user:ada", "fraud")} & set(loses)  # a reader reads on
    preview_harness.execute(OPERATOR, locks.lock_target, *archive, reason="over")
    gains = preview(preview_harness, lambda tx: locks.unlock_target(tx, *archive, reason="needed"))
    assert "PROJECT_EXECUTOR" in gains["user:ada", "churn"][0]


def test_locking_loses_every_role(preview_harness: AccountsHarness) -> None:
    def lock(tx: WriteTransaction) -> Result:
        locks.lock_target(tx, LockTarget.IDENTITY, str(BOB), reason="left")
        return message_result("locked")

    rows = preview(preview_harness, lock)
    assert rows == {("user:bob", scope): ([], ["PROJECT_READER"]) for scope in ("churn", "fraud")}


HOLDERS = 1500


def test_decisions_of_others_are_recorded_while_a_large_change_is_tried(preview_harness: AccountsHarness) -> None:
    """The whole effect was computed while the write lock was held, so that nothing could be decided meanwhile."""
    store = preview_harness.store
    names = [f"user-{number}" for number in range(HOLDERS)]
    with store.write(OPERATOR) as tx:
        values = {"provider": "local", "active": True, "created": tx.now, "alerts": {}}
        rows = [{"name": name, **values} for name in names]
        tx.conn.execute(tables.users.insert(), rows)
        values = {"role": "WIDE", "scope": "system", "granted_by": str(BOB), "granted": tx.now, "revision": tx.revision}
        rows = [
            {"identity": f"user:{name}", "reason": "", "creator": False, "mapped": False} | values for name in names
        ]
        tx.conn.execute(tables.assignment_rows.insert(), rows)
        tx.record_change("test", {}, ["*"])
    first_trial, finished, recorded = threading.Event(), threading.Event(), 0

    def record() -> None:
        nonlocal recorded
        assert first_trial.wait(60)
        while not finished.is_set():
            store.append_audit([make_audit_record(OPERATOR, "test", datetime.now(UTC))])
            recorded += 1

    def narrow(tx: WriteTransaction) -> Result:
        first_trial.set()
        return custom_roles.update_role(tx, "WIDE", permissions=["read"])

    thread = threading.Thread(target=record)
    thread.start()
    try:
        result = dry_run(store, OPERATOR, narrow)
    finally:
        finished.set()
        thread.join(60)
    assert len(result.rows) == HOLDERS
    assert recorded > 3, "others waited until the end"


def test_a_change_of_others_in_between_is_seen(preview_harness: AccountsHarness) -> None:
    """Each trial must find the same state; otherwise all begin again."""
    trials = 0

    def change(tx: WriteTransaction) -> Result:
        nonlocal trials
        trials += 1
        return assignments.grant_roles(tx, ["WIDE"], "system", BOB)

    def overtaken(tx: WriteTransaction) -> Result:
        result = change(tx)
        overtakers.append(threading.Thread(target=preview_harness.grant, args=("WIDE", "system", Identity.user("ada"))))
        overtakers[-1].start()  # waits for the write lock of this trial
        return result

    overtakers: list[threading.Thread] = []
    store = preview_harness.store
    original = store.read

    def read_after_the_overtaker() -> Any:
        for thread in overtakers[:1]:
            thread.join(60)
        return original()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store, "read", read_after_the_overtaker)
        result = dry_run(store, OPERATOR, lambda tx: overtaken(tx) if not overtakers else change(tx))
    assert trials == 2
    assert result.rows == (("user:bob", "system", ["WIDE"], []),)


def test_without_a_moment_of_peace_it_is_refused(
    preview_harness: AccountsHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    def overtaken(*_: Any) -> Result:
        raise dry_run_module._OvertakenError

    monkeypatch.setattr(dry_run_module._Trials, "compare_rights", overtaken)
    with pytest.raises(Conflict, match="others changed access meanwhile"):
        dry_run(preview_harness.store, OPERATOR, lambda tx: message_result("nothing"))
