"""Reading all people of a directory: what is counted, and where it stops."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from aizen_hub.api_models.directory_reading import DirectoryPerson, DirectoryReadingResponse
from aizen_hub.operations import directory_reading, records
from aizen_hub.operations.directory_reading import BATCH, KIND, KINDS, MAX_GONE, DirectoryReading
from aizen_hub.operations.operation import Operation, OperationState
from aizen_hub.operations.runner import OperationRunner
from tests.accounts.conftest import make_harness, template_folder
from tests.accounts.harness import AccountsHarness

__all__ = ["make_harness", "template_folder"]


@pytest.fixture
def harness(make_harness: Callable[..., AccountsHarness]) -> AccountsHarness:
    return make_harness()


@pytest.fixture
def runner(harness: AccountsHarness) -> Iterator[OperationRunner]:
    runner = OperationRunner(harness.store, KINDS, harness.catalog.command_with_handler)
    yield runner
    runner.close()


class Hub:
    """Answers for each batch; the last answer is repeated."""

    def __init__(self, *answers: dict[str, Any]) -> None:
        self.answers, self.read = list(answers), list[str]()

    def __call__(self, people: Sequence[DirectoryPerson]) -> DirectoryReadingResponse:
        self.read += [person.name for person in people]
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return DirectoryReadingResponse.model_validate(answer or {"read": len(people)})


def run(harness: AccountsHarness, runner: OperationRunner, hub: Hub, count: int, uncounted: int = 0) -> Operation:
    actor = harness.actor("admin")
    with harness.write(actor) as tx:
        operation = runner.create(tx, KIND, provider="lab", people=count)
    people = [DirectoryPerson(subject=f"id-{number}", name=f"p{number}") for number in range(count)]
    counted, others = people[: count - uncounted], people[count - uncounted :]
    return runner.run(operation, actor, DirectoryReading("lab", counted, others, hub))


def test_each_person_is_read_once_and_counted(harness: AccountsHarness, runner: OperationRunner) -> None:
    hub = Hub({"read": 1, "gone": 1, "refused": ["p2"]}, {})
    operation = run(harness, runner, hub, 2 * BATCH + 1)
    assert operation.state is OperationState.SUCCEEDED
    assert operation.result == {
        "total": 2 * BATCH + 1,
        "read": BATCH + 2,
        "gone": 1,
        "refused": 1,
        "unreported": 0,
        "names": {"refused": ["p2"], "unreported": []},
    }
    assert hub.read == [f"p{number}" for number in range(2 * BATCH + 1)]
    assert {"operation.started", "operation.ended"} <= set(harness.audit_events())


def test_a_cancelled_reading_says_how_many_count(harness: AccountsHarness, runner: OperationRunner) -> None:
    actor = harness.actor("admin")
    with harness.write(actor) as tx:
        created = runner.create(tx, KIND, provider="lab", people=BATCH + 5)

    def read(people: Sequence[DirectoryPerson]) -> DirectoryReadingResponse:
        with harness.write(actor) as tx:
            records.request_cancellation(tx, created.id)
        runner.note_cancellation(created.id)
        return DirectoryReadingResponse(read=len(people))

    people = [DirectoryPerson(subject=f"id-{number}", name=f"p{number}") for number in range(BATCH + 5)]
    operation = runner.run(created, actor, DirectoryReading("lab", people, [], read))
    assert operation.state is OperationState.CANCELLED
    assert operation.problem is not None
    assert f"{BATCH} of {BATCH + 5} people were read before, and count" in operation.problem["detail"]


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ({"read": 1, "stopped": "unreachable"}, "lab does not answer; 4 of 20 people were read before"),
        ({"stopped": "no-lookup-account"}, "own password only"),
        ({"gone": 1, "stopped": "service-unavailable"}, "did not answer the hub; 4 of 20 people were read before"),
        ({"refused": ["p3"], "stopped": "service-refused"}, "does not accept the hub; 4 of 20 people were read"),
    ],
)
def test_a_directory_that_does_not_answer_ends_it(
    harness: AccountsHarness, runner: OperationRunner, answer: dict[str, Any], said: str
) -> None:
    hub = Hub({}, answer)
    operation = run(harness, runner, hub, 20)
    assert operation.state is OperationState.FAILED
    assert operation.problem is not None
    assert said in operation.problem["detail"]
    assert len(hub.read) == 2 * BATCH, "the others are not asked for"


def test_a_directory_that_lost_its_people_ends_it(harness: AccountsHarness, runner: OperationRunner) -> None:
    hub = Hub({"gone": BATCH})
    operation = run(harness, runner, hub, 100)
    assert operation.state is OperationState.FAILED
    assert operation.problem is not None
    assert "does not know" in operation.problem["detail"]
    assert len(hub.read) < MAX_GONE + BATCH


def test_the_others_are_read_after_one_whose_report_is_refused(
    harness: AccountsHarness, runner: OperationRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(directory_reading, "MAX_NAMES", 2)
    hub = Hub({"read": BATCH - 1, "unreported": ["p0"]}, {"read": BATCH - 2, "unreported": ["p5", "p4"]}, {})
    operation = run(harness, runner, hub, 3 * BATCH)
    assert operation.state is OperationState.SUCCEEDED
    assert operation.result is not None
    assert (operation.result["read"], operation.result["unreported"]) == (3 * BATCH - 3, 3)
    assert operation.result["names"] == {"refused": [], "unreported": ["p0", "p4"]}
    assert len(hub.read) == 3 * BATCH


def test_a_service_that_refuses_every_report_ends_it(harness: AccountsHarness, runner: OperationRunner) -> None:
    hub = Hub({"unreported": [f"p{number}" for number in range(BATCH)]})
    operation = run(harness, runner, hub, 100)
    assert operation.state is OperationState.FAILED
    assert operation.problem is not None
    assert "refused the reports of" in operation.problem["detail"]
    assert len(hub.read) < directory_reading.MAX_UNREPORTED + BATCH


def test_whose_departure_records_nothing_does_not_end_it(harness: AccountsHarness, runner: OperationRunner) -> None:
    hub = Hub({}, {"gone": BATCH})
    operation = run(harness, runner, hub, 10 * BATCH, uncounted=9 * BATCH)
    assert operation.state is OperationState.SUCCEEDED
    assert 9 * BATCH > MAX_GONE
    assert operation.result is not None
    assert (operation.result["read"], operation.result["gone"]) == (BATCH, 9 * BATCH)
