"""The checker itself: good histories are accepted, and of each kind of bad one it says what is wrong."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.faults.history import AFTERMATH, NEMESIS, OPEN, SECOND, Op, load
from tests.faults.register import Step, is_linearizable
from tests.faults.reply import TOO_SLOW
from tests.faults.rules import check_history
from tests.faults.store_consistency import Change, Row, StoreState, check_consistency
from tests.fixtures.timing import cpu_within

ROLE = "PROJECT_EXECUTOR"
ME = ("eve", "p1", ROLE)


def op(what: str, call: float, ret: float | None, result: str | None = "done", **more: Any) -> Op:
    """An operation with times in seconds; on eve's role unless said otherwise."""
    args = {"user": more.pop("user", "eve"), "project": more.pop("project", "p1"), "role": more.pop("role", ROLE)}
    args |= more.pop("args", {})
    revision, client = more.pop("revision", None), more.pop("client", "c")
    seen = {"reason": "granted" if result == "allowed" else "no-assignment"} | more.pop("seen", {})
    assert not more
    end = None if ret is None else int(ret * SECOND)
    return Op(client, what, args, int(call * SECOND), end, result, revision, seen)


def found(*ops: Op, held: Any = (), **more: Any) -> set[str]:
    return {one.invariant for one in check_history(sorted(ops, key=lambda one: one.call_ns), held, **more)}


PAUSE = op("pause", 0, 1, client=NEMESIS)
GOOD = {
    "grant, ask, revoke, ask": [
        op("grant", 0, 1, revision=1),
        op("check", 2, 3, "allowed", revision=1),
        op("revoke", 4, 5, revision=2),
        op("check", 6, 7, "denied", revision=2),
    ],
    "an allow while the revocation is under way": [
        op("grant", 0, 1, revision=1),
        op("revoke", 2, 5, revision=2),
        op("check", 3, 4, "allowed", revision=1, client="d"),
    ],
    "a lost grant that happened": [
        PAUSE,
        op("grant", 0, None, "unavailable"),
        op("check", 5, 6, "allowed", revision=1),
    ],
    "a lost grant that did not happen": [
        PAUSE,
        op("grant", 0, None, "unavailable"),
        op("check", 5, 6, "denied", revision=0),
    ],
    "a lost grant that happened late": [
        PAUSE,
        op("grant", 0, None, "unavailable"),
        op("check", 1, 2, "denied", revision=0),
        op("check", 3, 4, "allowed", revision=1),
    ],
    "a lost revocation that happened late": [
        PAUSE,
        op("grant", 0, 1, revision=1),
        op("revoke", 2, None, "unavailable"),
        op("check", 3, 4, "allowed", revision=1),
        op("check", 5, 6, "denied", revision=2),
    ],
    "two at once": [
        op("grant", 0, 4, revision=1),
        op("revoke", 1, 5, revision=2, client="d"),
        op("check", 6, 7, "denied", revision=2),
    ],
    "an import gives and takes": [
        op("grant", 0, 1, revision=1),
        op("import", 2, 3, revision=2, args={"members": [["rob", ROLE]]}),
        op("check", 4, 5, "denied", revision=2),
        op("check", 4, 5, "allowed", revision=2, user="rob", client="d"),
    ],
    "locked, asked, unlocked": [
        op("grant", 0, 1, revision=1),
        op("lock", 2, 3, revision=2),
        op("check", 4, 5, "denied", revision=2, seen={"reason": "locked"}),
        op("unlock", 6, 7, revision=3),
        op("check", 8, 9, "allowed", revision=3),
    ],
    "killed and back": [
        op("check", 0, None, "lost"),
        op("kill", 0, 1, client=NEMESIS),
        op("check", 1.2, 1.3, "denied", revision=0),
    ],
    "a connection that died while it was idle": [
        op("check", 0, 1, "denied", revision=0),
        op("kill", 1.5, 2, client=NEMESIS),
        op("grant", 3, 4, revision=1, seen={"cut": True}),
        op("check", 5, 6, "allowed", revision=1),
    ],
    "refused for a while, and sent again": [
        op("revoke", 0, 30, "missing", revision=None, seen={"longest_ns": SECOND}),
    ],
    "503 during a fault and right after it": [
        op("kill", 0, 1, client=NEMESIS),
        op("check", 0.5, 0.6, "unavailable"),
        op("check", 1.2, 1.3, "denied", revision=0),
        op("check", 8, 8.1, "unavailable"),
        op(
            "grant",
            9,
            9.5,
            revision=1,
            seen={"unavailable": [[9 * SECOND, 9 * SECOND, "starting"]], "not_listening": [9 * SECOND]},
        ),
    ],
    "503 because of a fault before the history": [
        op(AFTERMATH, -5, -1, client=NEMESIS),
        op("check", 0, 0.1, "unavailable"),
        op("check", 20, 20.1, "denied", revision=0),
    ],
    "one that ran out of its time on a busy machine": [op("check", 0, 10, "unavailable")],
    "one that a busy machine could not decide on the current state": [
        op("check", 0, 1, "unavailable", seen={"unavailable": [[0, SECOND, slow]]}) for slow in sorted(TOO_SLOW)
    ],
    "repeated with its key": [
        op("grant", 0, 1, revision=1, args={"tag": "t"}),
        op("again", 2, 3, args={"tag": "t"}, seen={"revision": 1}),
    ],
}
BAD = {
    "a revocation that does not count": ("I3", [*GOOD["grant, ask, revoke, ask"], op("check", 8, 9, "allowed")]),
    "an acknowledged grant that was lost": ("I1", [op("grant", 0, 1), op("check", 2, 3, "denied")]),
    "an allow without a grant": ("I3", [op("check", 0, 1, "allowed")]),
    "a right that comes back": (
        "I3",
        [op("grant", 0, 1), op("revoke", 2, 3), op("check", 4, 5, "denied"), op("check", 6, 7, "allowed")],
    ),
    "granted anew although it was held": ("I1", [op("grant", 0, 1), op("grant", 2, 3)]),
    "a lost revocation that happened twice": (
        "I1",
        [
            op("grant", 0, 1),
            op("revoke", 2, None, "lost"),
            op("check", 4, 5, "denied"),
            op("check", 6, 7, "allowed"),
        ],
    ),
    "an answer from before what was known": (
        "I3",
        [op("grant", 0, 1, revision=5), op("check", 2, 3, "allowed", revision=4)],
    ),
    "two changes with one revision": (
        "I1",
        [op("grant", 0, 1, revision=5), op("grant", 0, 1, revision=5, user="rob", client="d")],
    ),
    "an answer that was held up": (
        "I3",
        [
            op("grant", 0, 1, revision=1),
            op("check", 2, 9, "allowed", revision=1),
            op("revoke", 3, 4, revision=2, client="d"),
        ],
    ),
    "a lock that does not count": (
        "I3",
        [op("grant", 0, 1), op("lock", 2, 3), op("check", 4, 5, "allowed")],
    ),
    "a session that goes on": (
        "I3",
        [
            op("grant", 0, 1),
            op("open", 2, 3, args={"server": "p1"}, seen={"session": "s"}),
            op("end", 4, 5, args={"server": "p1"}),
            op("check", 6, 7, "allowed", args={"session": "s"}),
        ],
    ),
    "one key, two effects": (
        "I4",
        [
            op("grant", 0, 1, revision=1, args={"tag": "t"}),
            op("revoke", 2, 3, revision=2),
            op("again", 4, 5, args={"tag": "t"}, seen={"revision": 3}),
        ],
    ),
    "an import of which a part is missing": (
        "I1",
        [
            op("import", 0, 1, args={"members": [["eve", ROLE], ["rob", ROLE]]}),
            op("check", 2, 3, "denied", user="rob"),
        ],
    ),
    "a 500": ("I8", [op("check", 0, 1, "broken", seen={"status": 500})]),
    "no answer at all": ("I8", [op("check", 0, None, "hung")]),
    "a connection that ends by itself": ("I8", [op("check", 0, None, "lost")]),
    "a connection that ends by itself, and it is sent again": (
        "I8",
        [op("grant", 0, 1, revision=1, seen={"cut": True})],
    ),
    "an answer after the deadline": ("I8", [op("check", 0, 20, "denied")]),
    "503 without a fault": ("I8", [op("check", 0, 0.1, "unavailable")]),
    "503, then done at the second attempt, without a fault": (
        "I8",
        [op("grant", 0, 3, revision=1, seen={"unavailable": [[0, SECOND, "the service is stopping"]]})],
    ),
    "503 before any fault": (
        "I8",
        [op("check", 0, 0.1, "unavailable"), op("pause", 1, 2, client=NEMESIS), op("check", 3, 4, "denied")],
    ),
    "503 long after a fault": (
        "I8",
        [op("pause", 0, 1, client=NEMESIS), op("check", 2, 3, "denied"), op("check", 32, 32.1, "unavailable")],
    ),
    "not listening without a fault": ("I8", [op("check", 0, 1, "down", seen={"not_listening": [0]})]),
    "all run out of their time, and nothing is wrong": (
        "I8",
        [op("check", number, number + 10, "unavailable") for number in range(3)],
    ),
    "none is decided on the current state, and nothing is wrong": (
        "I8",
        [
            op("check", number, number + 1, "unavailable", seen={"unavailable": [[0, SECOND, slow]]})
            for number, slow in enumerate([*TOO_SLOW, *TOO_SLOW])
        ],
    ),
    "no recovery": (
        "I10",
        [op("kill", 0, 1, client=NEMESIS), op("check", 2, 3, "unavailable"), op("check", 32, 33, "denied")],
    ),
}


@pytest.mark.parametrize("name", GOOD)
def test_good_histories_are_accepted(name: str) -> None:
    assert found(*GOOD[name], deadline_seconds=10) == set()


@pytest.mark.parametrize("name", BAD)
def test_bad_histories_are_found(name: str) -> None:
    invariant, ops = BAD[name]
    assert invariant in found(*ops, deadline_seconds=10)


def test_the_last_admin_may_not_go() -> None:
    held = [("ada", "duel", "PROJECT_ADMIN"), ("bea", "duel", "PROJECT_ADMIN")]
    admin = {"project": "duel", "role": "PROJECT_ADMIN"}
    first = op("revoke", 0, 3, revision=1, user="ada", **admin)
    second = op("revoke", 0, 3, revision=2, user="bea", client="d", **admin)
    assert found(first, second, held=held) == {"I5"}
    assert found(first, replace(second, result="refused", revision=None), held=held) == set()


def test_a_history_is_read_as_it_was_written() -> None:
    ops = list(itertools.chain.from_iterable(GOOD.values()))
    assert load([one.to_json() for one in ops]) == [replace(one, args=json.loads(json.dumps(one.args))) for one in ops]


# --- registers, against the definition


def by_definition(steps: list[Step], initial: bool) -> bool:
    """Try every order of every choice of the open ones."""
    sure = [step for step in steps if step.end != OPEN]
    unsure = [step for step in steps if step.end == OPEN and step.after is not None]
    for count in range(len(unsure) + 1):
        for some in itertools.combinations(unsure, count):
            for order in itertools.permutations([*sure, *some]):
                if _fits(order, initial):
                    return True
    return False


def _fits(order: tuple[Step, ...], held: bool) -> bool:
    for number, step in enumerate(order):
        if any(later.end < step.call for later in order[number + 1 :]):
            return False
        if step.before is not None and step.before != held:
            return False
        held = held if step.after is None else step.after
    return True


@st.composite
def steps(draw: st.DrawFn) -> Step:
    call = draw(st.integers(0, 12))
    end = draw(st.one_of(st.integers(1, 8).map(lambda length: call + length), st.just(OPEN)))
    before = draw(st.sampled_from([None, True, False]))
    after = draw(st.sampled_from([None, True, False]))
    # What has no answer saw nothing.
    return Step(call, end, None if end == OPEN else before, after)


@settings(max_examples=400, deadline=None)
@given(st.lists(steps(), max_size=6), st.booleans())
def test_the_search_agrees_with_the_definition(some: list[Step], initial: bool) -> None:
    assert is_linearizable(some, initial) == by_definition(some, initial)


@st.composite
def good_histories(draw: st.DrawFn) -> list[Op]:
    """A register that is used one after the other, then every operation stretched around its moment."""
    held, revision, ops = False, 0, []
    for number in range(draw(st.integers(1, 14))):
        what = draw(st.sampled_from(["grant", "revoke", "check", "check"]))
        at = 10.0 + number
        call, ret = at - draw(st.floats(0, 3)), at + draw(st.floats(0, 3))
        if what == "check":
            ops.append(op("check", call, ret, "allowed" if held else "denied", client=str(number)))
            continue
        result = "done" if held != (what == "grant") else "same" if what == "grant" else "missing"
        held = what == "grant"
        revision += result == "done"
        unsure = draw(st.integers(0, 4)) == 0
        answer = ("lost", None, None) if unsure else (result, ret, None)
        ops.append(op(what, call, answer[1], answer[0], client=str(number)))
    return ops


@settings(max_examples=200, deadline=None)
@given(good_histories())
def test_what_can_be_explained_is_accepted(ops: list[Op]) -> None:
    assert found(*ops, deadline_seconds=10) <= {"I8"}, "lost connections without a fault are another matter"


@settings(max_examples=200, deadline=None)
@given(good_histories(), st.booleans())
def test_one_wrong_look_is_found(ops: list[Op], allowed: bool) -> None:
    """After everything is over, a right is what the last answer says; the opposite of it cannot be."""
    ops = [one for one in ops if one.result != "lost"]
    settled = op("grant" if allowed else "revoke", 100, 101, None)
    wrong = op("check", 102, 103, "denied" if allowed else "allowed")
    last = "same" if allowed else "missing"
    for result in ("done", last):
        assert found(*ops, replace(settled, result=result), wrong, deadline_seconds=10) & {"I1", "I3"}


def test_three_hundred_operations_by_sixteen_clients_take_no_time() -> None:
    held, ops = False, []
    for number in range(300):
        held = not held if number % 3 == 0 else held
        what = ("grant" if held else "revoke") if number % 3 == 0 else "check"
        result = "done" if what != "check" else "allowed" if held else "denied"
        ops.append(op(what, number - 8, number + 8, result, client=str(number % 16)))
    with cpu_within(20):
        assert found(*ops, deadline_seconds=120) == set()


# --- books


def change(revision: int, kind: str, user: str = "eve", reason: str = "", role: str = ROLE) -> Change:
    entry = {"kind": kind, "identity": f"user:{user}", "scope": "p1", "role": role, "reason": reason}
    return Change(revision, (entry,), f"row-{revision}")


def told(number: int, one: Change) -> Row:
    details = one.entries[0]
    event = "role.granted" if details["kind"] == "grant" else "role.revoked"
    return Row("w", number, {"id": one.audit_id, "event": event, "revision": one.revision, "details": dict(details)})


def decided(number: int, name: str, allowed: bool, revision: int) -> Row:
    reason = "granted" if allowed else "no-assignment"
    body = {"id": name, "event": "decision", "allowed": allowed, "identity": "user:eve", "project": "p1"}
    return Row("w", number, body | {"reason": reason, "revision": revision})


BEFORE = StoreState(0, frozenset({("ada", "p1", "PROJECT_ADMIN")}), frozenset())
GIVEN, TAKEN = change(1, "grant", reason="tag"), change(2, "revoke")
OPS = [
    op("grant", 0, 1, revision=1, args={"tag": "tag"}),
    op("check", 2, 3, "allowed", revision=1, seen={"id": "d1"}),
    op("revoke", 4, 5, revision=2),
    op("check", 6, 7, "denied", revision=2, seen={"id": "d2"}),
]
ROWS = (told(1, GIVEN), decided(2, "d1", True, 1), told(3, TAKEN), decided(4, "d2", False, 2))
AFTER = StoreState(2, BEFORE.held, frozenset(), (GIVEN, TAKEN), ROWS)


def wrong(after: StoreState, ops: list[Op] = OPS, before: StoreState = BEFORE) -> set[str]:
    return {one.invariant for one in check_consistency(ops, before, after)}


def test_good_books_are_accepted() -> None:
    assert wrong(AFTER) == set()


def _rows(*rows: Row) -> StoreState:
    return replace(AFTER, rows=tuple(replace(row, number=number) for number, row in enumerate(rows, 1)))


BAD_BOOKS: dict[str, tuple[str, StoreState, list[Op]]] = {
    "an acknowledged change is not there": ("I1", replace(AFTER, revision=1, changes=(GIVEN,), rows=ROWS[:2]), OPS),
    "a revision is missing": ("I1", replace(AFTER, changes=(TAKEN,), rows=ROWS[1:]), OPS),
    "a decision has no row": ("I2", _rows(ROWS[0], ROWS[2], ROWS[3]), OPS),
    "a decision is recorded the other way round": ("I2", _rows(*ROWS[:3], decided(4, "d2", True, 2)), OPS),
    "a decision is recorded at another revision": ("I2", _rows(*ROWS[:3], decided(4, "d2", False, 1)), OPS),
    "a decision stands there twice": ("I2", _rows(*ROWS, ROWS[3]), OPS),
    "a change has no row": ("I2", _rows(*ROWS[1:]), OPS),
    "a row tells of no change": ("I2", _rows(*ROWS, told(5, change(3, "grant"))), OPS),
    "the row names another user": ("I2", _rows(told(1, change(1, "grant", "rob")), *ROWS[1:]), OPS),
    "the table holds what no change gave": ("I2", replace(AFTER, held=BEFORE.held | {ME}), OPS),
    "a number is missing": ("I7", replace(AFTER, rows=(*ROWS[:3], replace(ROWS[3], number=5))), OPS),
    "a hash does not fit": ("I7", replace(AFTER, rows=(replace(ROWS[0], hash=b"x"), *ROWS[1:])), OPS),
    "what was signed is gone": ("I7", replace(AFTER, checkpoints=({"w": (9, "00")},)), OPS),
    "the verifier found something": ("I7", replace(AFTER, findings=("row 3 is missing",)), OPS),
    "a right without a grant": ("I6", AFTER, OPS[1:]),
    "an allow without the right": (
        "I6",
        _rows(*ROWS[:3], decided(4, "d2", True, 2)),
        [*OPS[:3], op("check", 6, 7, "allowed", revision=2, seen={"id": "d2"})],
    ),
    "one key had two effects": (
        "I4",
        replace(AFTER, revision=3, changes=(GIVEN, TAKEN, change(3, "grant", reason="tag")), held=BEFORE.held | {ME}),
        OPS,
    ),
    "a duplicate assignment": ("I4", replace(AFTER, duplicates=(ME,)), OPS),
    "the last admin has gone": (
        "I5",
        replace(
            AFTER,
            revision=3,
            changes=(GIVEN, TAKEN, change(3, "revoke", "ada", role="PROJECT_ADMIN")),
            held=frozenset(),
        ),
        OPS,
    ),
    "an import is not whole": (
        "I9",
        replace(AFTER, revision=3, changes=(GIVEN, TAKEN, change(3, "grant", "rob"))),
        [*OPS, op("import", 8, 9, revision=3, args={"members": [["rob", ROLE], ["eve", ROLE]]})],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD_BOOKS)
def test_bad_books_are_found(name: str) -> None:
    invariant, after, ops = BAD_BOOKS[name]
    assert invariant in wrong(after, ops)
