"""The size of batches, and the time for which they hold the write lock."""

from __future__ import annotations

import pytest

from aizen_hub.operations.control import TARGET_SECONDS, BatchSize


@pytest.mark.parametrize("cost", [0.00001, 0.0001, 0.0004, 0.002])
def test_the_size_of_a_batch_comes_to_the_time_that_it_may_take(cost: float) -> None:
    size = BatchSize()
    for _ in range(30):
        size.adapt(size.items * cost)
    assert size.items in (40, 500) or 0.5 * TARGET_SECONDS <= size.items * cost <= 1.5 * TARGET_SECONDS


def test_one_slow_batch_makes_the_next_smaller_and_never_empty() -> None:
    size = BatchSize(100)
    size.adapt(10.0)
    assert size.items == 50
    for _ in range(20):
        size.adapt(10.0)
    assert size.items == 40
