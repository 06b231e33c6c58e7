"""The import of people as an operation: batches count at once, an early end says how far it came, mails are sent."""

from __future__ import annotations

import smtplib
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from aizen_hub.accounts.identities import user_exists
from aizen_hub.alerts.message import AlertMessage
from aizen_hub.commands.users_table import TableRow
from aizen_hub.operations import people_import, records
from aizen_hub.operations.control import OperationControl
from aizen_hub.operations.operation import Operation, OperationCancelled, OperationState
from aizen_hub.operations.people_import import KIND, KINDS, PeopleImport
from aizen_hub.operations.runner import OperationRunner
from aizen_hub.settings import MailSettings
from tests.accounts.conftest import make_harness, template_folder
from tests.accounts.harness import AccountsHarness

__all__ = ["make_harness", "template_folder"]


@pytest.fixture
def harness(make_harness: Callable[..., AccountsHarness]) -> AccountsHarness:
    return make_harness(alerts={"mail": {"host": "mail.acme.example", "sender": "hub@acme.example"}})


@pytest.fixture
def runner(harness: AccountsHarness) -> Iterator[OperationRunner]:
    runner = OperationRunner(harness.store, KINDS, harness.catalog.command_with_handler)
    yield runner
    runner.close()


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The addresses that mails went to; no mail server runs here, and it refuses one of them."""
    addresses: list[str] = []

    def send_mail(_: MailSettings, address: str, message: AlertMessage) -> None:
        if address.startswith("refused"):
            raise smtplib.SMTPException("no such mailbox")
        assert "activate#" in message.body
        addresses.append(address)

    monkeypatch.setattr(people_import, "send_mail", send_mail)
    return addresses


def people(count: int, **entry: Any) -> list[TableRow]:
    return [TableRow(number, {"id": f"p{number}", **entry}) for number in range(count)]


def run(
    harness: AccountsHarness,
    runner: OperationRunner,
    rows: list[TableRow],
    *,
    by_mail: bool = False,
    before: Callable[[Operation], None] = lambda _: None,
) -> Operation:
    actor = harness.actor("admin")
    with harness.write(actor) as tx:
        operation = runner.create(tx, KIND, people=len(rows))
    before(operation)
    return runner.run(operation, actor, PeopleImport(rows, by_mail, "https://panel.example/services/aizen/"))


def registered(harness: AccountsHarness) -> int:
    with harness.read() as tx:
        return sum(user_exists(tx, f"p{number}") for number in range(60))


def test_all_are_registered_in_batches(harness: AccountsHarness, runner: OperationRunner) -> None:
    operation = run(harness, runner, people(50))
    assert operation.state is OperationState.SUCCEEDED
    assert operation.result is not None
    assert (operation.result["registered"], operation.result["left_out"]) == (50, 0)
    assert registered(harness) == 50
    assert harness.audit_events().count("user.created") == 51  # the administrator too


def test_those_who_are_registered_meanwhile_are_left_out(harness: AccountsHarness, runner: OperationRunner) -> None:
    harness.register_users("p3", "p4")
    operation = run(harness, runner, people(10))
    assert operation.result is not None
    assert (operation.result["registered"], operation.result["left_out"]) == (8, 2)


def test_links_are_mailed_to_local_accounts_and_failures_are_named(
    harness: AccountsHarness, runner: OperationRunner, sent: list[str]
) -> None:
    rows = [
        TableRow(1, {"id": "nora", "provider": "local", "email": "nora@acme.example"}),
        TableRow(2, {"id": "ivan", "provider": "local", "email": "refused@acme.example"}),
        TableRow(3, {"id": "uma", "provider": "local"}),
        TableRow(4, {"id": "lars", "provider": "ldap", "email": "lars@acme.example"}),
    ]
    operation = run(harness, runner, rows, by_mail=True)
    assert operation.result is not None
    assert sent == ["nora@acme.example"]
    assert (operation.result["unsent"], operation.result["unsent_count"]) == (["ivan"], 1)


def test_a_cancelled_import_says_how_many_stay(harness: AccountsHarness, runner: OperationRunner) -> None:
    def cancel(operation: Operation) -> None:
        with harness.write(harness.actor("admin")) as tx:
            records.request_cancellation(tx, operation.id)

    operation = run(harness, runner, people(50), before=cancel)
    assert operation.state is OperationState.CANCELLED
    assert operation.problem is not None
    assert "0 of 50 people were registered before, and stay registered" in operation.problem["detail"]
    assert registered(harness) == 0


def test_an_import_that_is_cancelled_while_links_are_mailed_names_those_who_stay(
    harness: AccountsHarness, runner: OperationRunner, sent: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def cancel(_: OperationControl) -> None:
        if sent:
            raise OperationCancelled("the operation was cancelled, and nothing was changed")

    monkeypatch.setattr(OperationControl, "rest", cancel)
    row = TableRow(1, {"id": "p1", "provider": "local", "email": "p1@acme.example"})
    operation = run(harness, runner, [row], by_mail=True)
    assert (operation.state, sent) == (OperationState.CANCELLED, ["p1@acme.example"])
    assert operation.problem is not None
    assert "1 of 1 people were registered before" in operation.problem["detail"]
    assert registered(harness) == 1


def test_a_failure_names_how_many_are_registered_and_the_same_table_goes_on(
    harness: AccountsHarness, runner: OperationRunner
) -> None:
    rows = [*people(30), TableRow(99, {"id": "No Login"}), *people(40)[30:]]
    operation = run(harness, runner, rows)
    assert operation.state is OperationState.FAILED
    assert operation.problem is not None
    done = registered(harness)
    assert 0 < done <= 30
    assert f"{done} of 41 people were registered before" in operation.problem["detail"]
    again = run(harness, runner, people(40))
    assert again.result is not None
    assert again.result["registered"] == 40 - done


def test_an_interrupted_import_does_not_say_that_nothing_was_changed(
    harness: AccountsHarness, runner: OperationRunner
) -> None:
    with harness.write(harness.actor("admin")) as tx:
        operation = runner.create(tx, KIND, people=1)
    next_process = OperationRunner(harness.store, KINDS, harness.catalog.command_with_handler)
    assert next_process.recover(alone=True) == 1
    next_process.close()
    with harness.read() as tx:
        closed = records.get_operation(tx, operation.id)
    assert closed.state is OperationState.INTERRUPTED
    assert closed.problem is not None
    assert "what it had changed until then stays" in closed.problem["detail"]
