"""Each planted bug is found, by its own class of violation; the same schedules find nothing in the service itself."""

from __future__ import annotations

from typing import Any

import pytest

from tests.faults import schedules
from tests.faults.conftest import Opener
from tests.faults.installation import Installation
from tests.faults.schedules import STOP_BEFORE_ANSWER, Schedule
from tests.faults.seeded_bugs import BUGS

pytestmark = pytest.mark.faults

ATTEMPTS = 3
PAUSED: dict[str, Any] = {"kill_at": STOP_BEFORE_ANSWER, "service": {"deadline_seconds": 8}}
FOUND: dict[str, tuple[Schedule, str]] = {
    "answer-before-commit": (schedules.kill_after_change, "I1"),
    "audit-in-second-transaction": (schedules.kill_after_decision, "I2"),
    "cached-allow": (schedules.revoke_and_check, "I3"),
    "rights-never-dropped": (schedules.revoke_and_check, "I3"),
    "positive-cache": (schedules.end_and_check, "I3"),
    "last-admin-checked-outside": (schedules.duel, "I5"),
    "keys-ignored": (schedules.repeat, "I4"),
    "answers-never-too-old": (schedules.pause_before_answer, "I3"),
    "import-row-by-row": (schedules.import_members, "I9"),
}
ON_TWO_REPLICAS: dict[str, tuple[Schedule, str]] = {
    # What is taken at one replica is asked for at the other.
    **{plant: FOUND[plant] for plant in ("cached-allow", "rights-never-dropped", "positive-cache")},
    # SQLite lets one transaction write at a time, so there it does no harm.
    "record-before-its-turn": (schedules.refuse_at_once, "I8"),
}


def test_every_plant_has_its_schedule() -> None:
    assert set(FOUND) | set(ON_TWO_REPLICAS) == set(BUGS)


@pytest.mark.parametrize("plant", list(FOUND))
def test_a_planted_bug_is_found(plant: str, sqlite_installation: Opener) -> None:
    schedule, invariant = FOUND[plant]
    pauses = schedule is schedules.pause_before_answer
    here = sqlite_installation(module=("tests.faults.seeded_bugs", plant), **(PAUSED if pauses else {}))
    _find(here, plant, schedule, invariant, 1 if pauses else ATTEMPTS)


@pytest.mark.needs("postgres")
@pytest.mark.parametrize("plant", list(ON_TWO_REPLICAS))
def test_a_planted_bug_is_found_on_two_replicas(plant: str, postgres_installation: Opener) -> None:
    here = postgres_installation(module=("tests.faults.seeded_bugs", plant))
    _find(here, plant, *ON_TWO_REPLICAS[plant], ATTEMPTS)


def _find(here: Installation, plant: str, schedule: Schedule, invariant: str, attempts: int) -> None:
    found: set[str] = set()
    for _ in range(attempts):
        schedule(here)
        found = {one.invariant for one in here.violations()}
        if invariant in found:
            return
    pytest.fail(f"{plant} went unnoticed as {invariant}; found {sorted(found)}")


@pytest.mark.proves("R48", "R81", "R102", "R103", "R104", "I1", "I2", "I3", "I4", "I5", "I9", "T-05", "T-45")
def test_the_service_itself_passes_every_schedule(sqlite_installation: Opener) -> None:
    here = sqlite_installation()
    done = [schedule for schedule, _ in FOUND.values() if schedule is not schedules.pause_before_answer]
    for schedule in dict.fromkeys(done):
        schedule(here)
        assert here.violations() == [], schedule.__name__


@pytest.mark.proves("R48", "I3", "T-07")
def test_a_paused_service_decides_again(sqlite_installation: Opener) -> None:
    here = sqlite_installation(**PAUSED)
    schedules.pause_before_answer(here)
    assert here.violations() == []
    assert [op.result for op in here.recorder.ops() if op.op == "check"] == ["denied", "denied"]
