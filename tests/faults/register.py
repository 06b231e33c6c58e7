"""Linearizability of one register that is held or not held: the search of Wing and Gong with Lowe's cache.

J. Wing, C. Gong: Testing and verifying concurrent objects (1993); G. Lowe: Testing for linearizability (2017).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tests.faults.history import OPEN

MAX_STEPS = 2_000_000


@dataclass(frozen=True)
class Step:
    """One operation on the register.

    Attributes
    ----------
    call, end : int
        Its real time; ``end`` is `OPEN` for one that may never have happened.
    before : bool or None
        What it saw; None for one that saw nothing.
    after : bool or None
        What it wrote; None for a mere look.
    """

    call: int
    end: int
    before: bool | None
    after: bool | None


class SearchTooLongError(RuntimeError):
    """The search was given up: the history has too much at once for one register."""


def is_linearizable(steps: Sequence[Step], initial: bool) -> bool:
    """Tell whether some order of the steps explains what each of them saw, and respects real time.

    Raises
    ------
    TooLong
    """
    # A look without an answer says nothing.
    steps = [step for step in steps if step.end != OPEN or step.after is not None]
    required = 0
    for number, step in enumerate(steps):
        if step.end != OPEN:
            required |= 1 << number
    by_call = sorted(range(len(steps)), key=lambda number: steps[number].call)
    seen: set[tuple[int, bool]] = set()
    stack = [(0, initial)]
    tries = 0
    while stack:
        done, held = stack.pop()
        if done & required == required:
            return True
        # Whatever is called before the first end of what is not done yet may come next, and nothing else.
        first = min(steps[number].end for number in by_call if not done >> number & 1)
        following = []
        for number in by_call:
            step = steps[number]
            if step.call > first:
                break
            if done >> number & 1 or (step.before is not None and step.before != held):
                continue
            tries += 1
            if tries > MAX_STEPS:
                raise SearchTooLongError(f"{len(steps)} steps on one register")
            if step.after is None:
                # A look that fits now: no order can do better than to take it now.
                following = [(done | 1 << number, held)]
                break
            following.append((done | 1 << number, step.after))
        for state in following:
            if state not in seen:
                seen.add(state)
                stack.append(state)
    return False
