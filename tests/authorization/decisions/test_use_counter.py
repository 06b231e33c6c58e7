"""Counts of uses: taken at most once an hour for each assignment, and none is lost by a failed write."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from aizen_hub.authorization.decisions.use_counter import WRITE_INTERVAL, AssignmentUse, UseCounter

START = datetime(2026, 3, 1, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


@pytest.mark.proves("R131")
def test_an_assignment_is_written_at_most_once_an_hour() -> None:
    counter = UseCounter()
    counter.count("7", START)
    assert counter.take_due(START, 10) == [AssignmentUse(7, START, START, 1)]
    for minute in range(1, 60):
        counter.count("7", START + minute * MINUTE)
        assert counter.take_due(START + minute * MINUTE, 10) == []
    later = START + WRITE_INTERVAL
    assert counter.take_due(later, 10) == [AssignmentUse(7, START + MINUTE, START + 59 * MINUTE, 59)]


def test_what_no_assignment_allowed_is_not_counted() -> None:
    counter = UseCounter()
    counter.count(None, START)
    assert counter.take_all() == []


def test_the_rest_is_taken_at_the_end_even_within_the_hour() -> None:
    counter = UseCounter()
    counter.count("7", START)
    counter.take_due(START, 10)
    counter.count("7", START + MINUTE)
    assert counter.take_all() == [AssignmentUse(7, START + MINUTE, START + MINUTE, 1)]


def test_counts_that_could_not_be_written_are_due_again_with_later_ones() -> None:
    counter = UseCounter()
    counter.count("7", START)
    taken = counter.take_due(START, 10)
    counter.count("7", START + MINUTE)
    counter.put_back(taken)
    assert counter.take_due(START + MINUTE, 10) == [AssignmentUse(7, START, START + MINUTE, 2)]


def test_a_limited_take_leaves_the_others() -> None:
    counter = UseCounter()
    for name in ("1", "2", "3"):
        counter.count(name, START)
    first, second = counter.take_due(START, 2), counter.take_due(START, 2)
    assert {use.assignment_id for use in [*first, *second]} == {1, 2, 3}
    assert counter.take_due(START, 2) == []


def test_threads_lose_no_count() -> None:
    counter = UseCounter()

    def use_often(_: int) -> None:
        for _ in range(500):
            counter.count("7", START)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(use_often, range(4)))
    assert [use.uses for use in counter.take_all()] == [2_000]
