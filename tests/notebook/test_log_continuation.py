"""Lines of a job's log come once each, in their order, however often it was attached to."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from aizen_hub.notebook.log_continuation import LogContinuation


def follow(pieces: list[list[str]]) -> list[str]:
    log, lines = LogContinuation(), []
    for piece in pieces:
        log.attach()
        for line in piece:
            lines += log.add(line)
        lines += log.release()
    return lines


def test_repeated_lines_are_left_out() -> None:
    assert follow([["a", "b"], ["a", "b", "c"], ["b", "c", "d"], []]) == ["a", "b", "c", "d"]
    assert follow([["a", "b"], ["x", "y"]]) == ["a", "b", "x", "y"], "nothing is repeated after a restart"
    assert follow([["a", "a"], ["a", "a", "a"]]) == ["a", "a", "a"]
    log = LogContinuation()
    log.attach()
    assert log.add("a") == ["a"], "shown at once"


@given(st.integers(0, 120), st.lists(st.integers(0, 120), max_size=4))
@settings(deadline=None)
def test_different_lines_come_once_and_none_is_lost(count: int, cuts: list[int]) -> None:
    lines = [str(number) for number in range(count)]
    ends = sorted(min(cut, count) for cut in cuts)
    starts = [0, *(max(0, end - 40) for end in ends)]
    pieces = [lines[start:end] for start, end in zip(starts, [*ends, count], strict=True)]
    assert follow(pieces) == lines
