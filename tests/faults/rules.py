"""What must hold in every history, whatever the store says about itself."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from tests.faults.history import AFTERMATH, NEMESIS, OPEN, SECOND, Op
from tests.faults.register import Step, is_linearizable
from tests.faults.reply import TOO_SLOW

Key = tuple[str, str, str]
"""User, project, role."""
ADMIN = "PROJECT_ADMIN"
ANSWERED = frozenset({"allowed", "denied", "done", "same", "missing", "refused"})
RECOVERY_SECONDS = 10
"""Within which a service decides again after a fault (I10)."""
FRESH_SECONDS = 0.25
CLIENT_DELAY_SECONDS = 1.5
"""How late an answer may be read by a busy client."""
LONGEST_RECOVERY_SECONDS = RECOVERY_SECONDS + 20
"""The same on a machine that has too much to do, where starting a service alone takes ten seconds."""
SLOW_MACHINE_SECONDS = 3.0
"""How much longer than the deadline an answer may take on a machine that has too much to do."""
MAX_TIMED_OUT_RATIO = 0.02
TIMED_OUT_ALLOWANCE = 2
"""So many questions, or that part of them, may run out of their time, or of the time in which a decision is current, on
such a machine while all is well."""


@dataclass(frozen=True)
class Violation:
    """One broken invariant, by its id."""

    invariant: str
    message: str

    def __str__(self) -> str:
        return f"{self.invariant}: {self.message}"


def check_history(
    ops: Sequence[Op], held: Iterable[Key] = (), *, deadline_seconds: float = 5.0, recovers: bool = True
) -> list[Violation]:
    """Return everything that clients saw and must never see.

    Parameters
    ----------
    ops : sequence of Op
        By their call.
    held : iterable of Key
        What was held before the first operation.
    deadline_seconds : float
        The service's own.
    recovers : bool
        Whether the history goes on after its last fault.
    """
    initial = frozenset(held)
    faults = [op for op in ops if op.client == NEMESIS]
    ops = [op for op in ops if op.client != NEMESIS]
    return [
        *_roles(ops, initial),
        *_locks(ops),
        *_sessions(ops),
        *_revisions(ops),
        *_stale_answers(ops),
        *_repeated_requests(ops),
        *_admins(ops, initial),
        *_answers(ops, faults, deadline_seconds),
        *_available(ops, faults, deadline_seconds),
        *(_recovery(ops, faults) if recovers else ()),
    ]


def _roles(ops: Sequence[Op], initial: frozenset[Key]) -> Iterator[Violation]:
    steps: defaultdict[Key, list[Step]] = defaultdict(list)
    roles_of: defaultdict[str, set[Key]] = defaultdict(set)
    for op in ops:
        if op.op in ("check", "grant", "revoke"):
            roles_of[op.args["project"]].add(op.key)
    for op in ops:
        if op.op == "import":
            written = {(user, op.args["project"], role) for user, role in op.args["members"]}
            for key in roles_of[op.args["project"]] | written:
                if op.indeterminate or op.result in ("done", "same"):
                    steps[key].append(Step(op.call_ns, op.end, None, key in written))
        elif op.op in ("check", "grant", "revoke"):
            step = role_step(op)
            if step is not None:
                steps[op.key].append(step)
    for key, key_steps in sorted(steps.items()):
        if not is_linearizable(key_steps, key in initial):
            yield Violation(
                "I3" if _allowed_after_revocation(ops, key, initial) else "I1",
                f"no order explains what was seen of {key}",
            )


def role_step(op: Op) -> Step | None:
    """Return what an operation saw of its register and did to it, None for nothing."""
    effect = {
        ("check", "allowed"): (True, None),
        ("check", "denied"): (False, None),
        ("grant", "done"): (False, True),
        ("grant", "same"): (True, True),
        ("revoke", "done"): (True, False),
        ("revoke", "missing"): (False, None),
    }.get((op.op, op.result or ""))
    if op.op == "check" and op.result == "denied" and op.observed.get("reason") != "no-assignment":
        return None
    if op.indeterminate:
        effect = (None, op.op == "grant")
    return None if effect is None else Step(op.call_ns, op.end, *effect)


def _allowed_after_revocation(ops: Sequence[Op], key: Key, initial: frozenset[Key]) -> bool:
    """Whether an allow came after an acknowledged revocation that nothing can have undone; by intervals alone."""
    grants, revocations = [], []
    for op in ops:
        if op.op == "import" and op.args["project"] == key[1]:
            (grants if [key[0], key[2]] in [list(one) for one in op.args["members"]] else revocations).append(op)
        elif op.op == "grant" and op.key == key:
            grants.append(op)
        elif op.op == "revoke" and op.key == key:
            revocations.append(op)
    grants = [op for op in grants if op.indeterminate or op.result in ("done", "same")]
    ends = [(op.end, op.call_ns) for op in revocations if op.result == "done"]
    if key not in initial:
        ends.append((-1, -1))
    for op in ops:
        if op.op != "check" or op.result != "allowed" or op.key != key:
            continue
        for ret, call in ends:
            if op.call_ns > ret and not any(one.end > call and one.call_ns < (op.ret_ns or OPEN) for one in grants):
                return True
    return False


def _locks(ops: Sequence[Op]) -> Iterator[Violation]:
    steps: defaultdict[str, list[Step]] = defaultdict(list)
    for op in ops:
        effect: tuple[bool | None, bool | None] | None = {
            ("lock", "done"): (None, True),
            ("unlock", "done"): (True, False),
            ("unlock", "missing"): (False, None),
            ("check", "allowed"): (False, None),
        }.get((op.op, op.result or ""))
        if op.op == "check" and op.result == "denied" and op.observed.get("reason") == "locked":
            effect = (True, None)
        if op.op in ("lock", "unlock") and op.indeterminate:
            effect = (None, op.op == "lock")
        if effect is not None:
            steps[op.args["user"]].append(Step(op.call_ns, op.end, *effect))
    for user, user_steps in sorted(steps.items()):
        if any(step.after is not None for step in user_steps) and not is_linearizable(user_steps, False):
            yield Violation("I3", f"no order explains what was seen of the lock on `{user}`")


def _sessions(ops: Sequence[Op]) -> Iterator[Violation]:
    """A session that was ended never allows anything again."""
    endings: defaultdict[str, list[Op]] = defaultdict(list)
    opened: dict[str, Op] = {}
    for op in ops:
        if op.op in ("end", "lock", "open") and op.result == "done":
            endings[op.args["user"]].append(op)
        if op.op == "open" and op.result == "done":
            opened[op.observed["session"]] = op
    dead: dict[str, int] = {}
    for session, start in opened.items():
        server = start.args["server"]
        for op in endings[start.args["user"]]:
            same_server = op.op == "lock" or op.args["server"] == server
            if op is not start and same_server and start.ret_ns is not None and op.call_ns > start.ret_ns:
                dead[session] = min(dead.get(session, OPEN), op.end)
    for op in ops:
        if op.op == "check" and op.result == "allowed" and op.call_ns > dead.get(op.args.get("session", ""), OPEN):
            yield Violation("I3", f"allowed in the session of `{op.args['user']}`, which had ended before it was asked")


def _revisions(ops: Sequence[Op]) -> Iterator[Violation]:
    """What is asked after an answer is never answered from before it, for whichever client (the ZedToken rule)."""
    numbered = [op for op in ops if op.revision is not None and op.ret_ns is not None]
    by_end = sorted(numbered, key=lambda op: op.ret_ns or 0)
    newest, position = 0, 0
    for op in sorted(numbered, key=lambda op: op.call_ns):
        while position < len(by_end) and (by_end[position].ret_ns or 0) < op.call_ns:
            newest = max(newest, by_end[position].revision or 0)
            position += 1
        assert op.revision is not None
        if op.revision < newest:
            invariant = "I3" if op.result == "allowed" else "I1"
            yield Violation(invariant, f"{op.op} by {op.client} answered at revision {op.revision} after {newest}")
    changed = sorted((op for op in numbered if op.took_effect and op.op in _WRITES), key=lambda op: op.revision or 0)
    for revision, same in groupby(changed, key=lambda op: op.revision):
        several = list(same)
        if len(several) > 1:
            yield Violation("I1", f"{len(several)} changes were acknowledged with the one revision {revision}")


_WRITES = frozenset({"grant", "revoke", "import", "lock", "unlock"})


def _stale_answers(ops: Sequence[Op]) -> Iterator[Violation]:
    """An answer that was held up is not from before what was acknowledged while it was held up."""
    margin = int((FRESH_SECONDS + CLIENT_DELAY_SECONDS) * SECOND)
    writes = sorted((op.ret_ns or 0, op.revision or 0) for op in ops if op.took_effect and op.op in _WRITES)
    times = [at for at, _ in writes]
    highest: list[int] = []
    for _, revision in writes:
        highest.append(max(revision, highest[-1] if highest else 0))
    for op in ops:
        if op.op == "check" and op.result == "allowed" and op.ret_ns is not None and op.revision is not None:
            position = bisect_left(times, op.ret_ns - margin)
            if position and op.revision < highest[position - 1]:
                yield Violation(
                    "I3", f"an allow of revision {op.revision} came out long after {highest[position - 1]} was known"
                )


def _repeated_requests(ops: Sequence[Op]) -> Iterator[Violation]:
    """The same request with the same key is answered with what was done the first time."""
    first = {op.args["tag"]: op for op in ops if op.op != "again" and "tag" in op.args}
    for op in ops:
        before = first.get(op.args.get("tag", ""))
        if op.op == "again" and op.result in ("done", "same", "missing") and before is not None:
            first_answer = (before.result, before.revision)
            if before.result in ANSWERED and (op.result, op.observed.get("revision")) != first_answer:
                yield Violation("I4", f"a repeated {before.op} was done anew: {first_answer}, then {op.result}")


def _admins(ops: Sequence[Op], initial: frozenset[Key]) -> Iterator[Violation]:
    projects = {project for _, project, role in initial if role == ADMIN}
    for project in sorted(projects):
        mine = [op for op in ops if op.op in ("grant", "revoke") and op.key[1:] == (project, ADMIN)]
        if any(op.op == "import" and op.args["project"] == project for op in ops):
            continue  # the books say more
        holders = {user for user, where, role in initial if (where, role) == (project, ADMIN)}
        possible = {op.key[0] for op in mine if op.op == "grant" and op.indeterminate}
        for op in sorted((op for op in mine if op.took_effect), key=lambda op: op.revision or 0):
            (holders.add if op.op == "grant" else holders.discard)(op.key[0])
            if not holders and not possible:
                yield Violation("I5", f"`{project}` was left without an admin at revision {op.revision}")
                break


def _answers(ops: Sequence[Op], faults: Sequence[Op], deadline_seconds: float) -> Iterator[Violation]:
    longest = int((deadline_seconds + SLOW_MACHINE_SECONDS) * SECOND)
    before: dict[str, int] = {}
    for op in ops:
        end = OPEN if op.ret_ns is None else op.ret_ns

        def faulty(since: int, until: int = end) -> bool:
            return any(one.call_ns <= until and since <= (one.ret_ns or OPEN) for one in faults)

        during = faulty(op.call_ns)
        # A connection that was kept open is found dead only when it is used again.
        idle = before.get(op.client, op.call_ns)
        before[op.client] = op.call_ns if op.ret_ns is None else op.ret_ns
        if op.result == "broken":
            yield Violation("I8", f"{op.op} was answered with {op.observed.get('status')}")
        elif op.result == "hung" and not during:
            yield Violation("I8", f"{op.op} by {op.client} was not answered")
        elif (op.result == "lost" or op.observed.get("cut")) and not faulty(idle):
            yield Violation("I8", f"{op.op} by {op.client} lost its connection, and there was no fault")
        elif _longest_wait_ns(op) > longest and not during:
            yield Violation("I8", f"an answer to {op.op} by {op.client} took {_longest_wait_ns(op) / SECOND:.1f} s")


def _available(ops: Sequence[Op], faults: Sequence[Op], deadline_seconds: float) -> Iterator[Violation]:
    """No request is answered with 503 outside a fault and the recovery time after it."""
    spans = sorted((one.call_ns, OPEN if one.ret_ns is None else one.ret_ns) for one in faults)

    def excused(since: int, until: int) -> bool:
        return any(call <= until and since <= ret + LONGEST_RECOVERY_SECONDS * SECOND for call, ret in spans)

    timed_out, sent = [], 0
    for op in ops:
        sent += not excused(op.call_ns, op.call_ns if op.ret_ns is None else op.ret_ns)
        for since, until, detail in _unavailable_spans(op):
            if excused(since, until):
                continue
            if until - since >= deadline_seconds * SECOND or detail in TOO_SLOW:
                timed_out.append(op)
            else:
                yield Violation("I8", f"{op.op} by {op.client} was answered with 503 ({detail}) without a fault")
        for at in op.observed.get("not_listening", ()):
            if not excused(at, at):
                yield Violation("I8", f"{op.op} by {op.client} found the service not listening, without a fault")
    if len(timed_out) > max(TIMED_OUT_ALLOWANCE, sent * MAX_TIMED_OUT_RATIO):
        yield Violation("I8", f"{len(timed_out)} of {sent} ran out of their time, and there was no fault")


def _unavailable_spans(op: Op) -> list[tuple[int, int, str]]:
    if "unavailable" in op.observed:
        return [(since, until, detail) for since, until, detail in op.observed["unavailable"]]
    return [(op.call_ns, op.call_ns if op.ret_ns is None else op.ret_ns, "")] if op.result == "unavailable" else []


def _longest_wait_ns(op: Op) -> int:
    """How long the longest wait for an answer was; what is sent several times waits several times."""
    whole = 0 if op.ret_ns is None else op.ret_ns - op.call_ns
    longest: int = op.observed.get("longest_ns", whole)
    return longest


def _recovery(ops: Sequence[Op], faults: Sequence[Op]) -> Iterator[Violation]:
    answered = sorted(op.call_ns for op in ops if op.op == "check" and op.result in ("allowed", "denied"))
    ends = {op.call_ns: op.ret_ns or OPEN for op in ops}
    for fault in faults:
        if fault.op == AFTERMATH:
            continue
        over = fault.ret_ns or OPEN
        limit = over + LONGEST_RECOVERY_SECONDS * SECOND
        if any(other.call_ns < limit and (other.ret_ns or OPEN) > over for other in faults if other is not fault):
            continue  # the next fault came before this one could be recovered from
        position = bisect_left(answered, over)
        if position == len(answered) or ends[answered[position]] > limit:
            yield Violation("I10", f"nothing was decided within {LONGEST_RECOVERY_SECONDS} s after {fault.op}")
