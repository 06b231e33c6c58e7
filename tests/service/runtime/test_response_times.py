"""The response times of directories: a window, with the number of answers it holds."""

from __future__ import annotations

from aizen_hub.service.runtime.response_times import MAX_KEPT, WINDOW_SECONDS, ResponseTimes, ResponseTimeSummary


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_only_the_answers_of_the_window_count() -> None:
    clock = Clock()
    times = ResponseTimes(clock)
    times.add("lab", 9.0)
    clock.now += WINDOW_SECONDS + 1
    assert times.summarize() == {}
    for seconds in (0.25, 0.5, 4.0):
        times.add("lab", seconds)
    times.add("other", 1.0)
    clock.now += 60
    assert times.summarize() == {
        "lab": ResponseTimeSummary(3, 0.5, 4.0, 60.0),
        "other": ResponseTimeSummary(1, 1.0, 1.0, 60.0),
    }


def test_the_oldest_are_dropped() -> None:
    times = ResponseTimes(Clock())
    for number in range(MAX_KEPT + 10):
        times.add("lab", float(number))
    summary = times.summarize()["lab"]
    assert (summary.count, summary.slowest) == (MAX_KEPT, MAX_KEPT + 9.0)
    assert summary.median > 9.0
