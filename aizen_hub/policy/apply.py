"""Application of a policy file to the store, through the same checks as every other change.

Each section of the file is made true within what it names: what the file lists is there afterwards. What it omits
stays, unless the policy is *pruned*: then the members of its groups and the assignments in its scopes become exactly
those of the file, and local groups and custom roles that its sections omit are deleted. A file never deletes users and
projects: their names stay reserved and other records depend on them, so they have commands of their own. Directory
groups, the automatic role of a project's creator, and users who are not registered are not changed.

Assignments can be many: they are compared and authorized on a snapshot, staged in short batches and put in effect
together with everything else in one transaction (`accounts.roles.staged_assignments`). If someone else changes what the
plan depends on in between, the plan is made again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from itertools import groupby
from typing import TYPE_CHECKING, Any

from aizen_hub.accounts.dry_run import dry_run, try_change
from aizen_hub.accounts.roles import staged_assignments
from aizen_hub.accounts.roles.staged_assignments import AssignmentChange, StalePlanError
from aizen_hub.authorization import checks
from aizen_hub.commands.result import Result, table_result
from aizen_hub.operations.control import BatchSize, OperationControl
from aizen_hub.operations.kind import OperationKind
from aizen_hub.operations.operation import Effect
from aizen_hub.policy.assignment_plan import (
    AssignmentPlan,
    check_changes,
    check_identities,
    combine_checks,
    depends_on_steps,
    plan_assignments,
)
from aizen_hub.policy.concurrent_changes import ConcurrentChanges
from aizen_hub.policy.loader import Policy
from aizen_hub.policy.steps import PolicyStep, closing_steps, opening_steps
from aizen_hub.problems import Conflict, TooLarge
from aizen_hub.rbac.identity import Identity, IdentityKind

if TYPE_CHECKING:
    from aizen_hub.store.transaction import ReadTransaction, WriteTransaction

PLAN, APPLY = "policy-plan", "policy-apply"
MAX_SHOWN = 50
"""Up to so many changes of assignments are steps of the result; more are counted by role."""
MAX_STEPS = 2_000
"""Maximum number of roles, projects, groups and members that one policy may change: each takes about a millisecond of
the write lock, and others wait for it five seconds at most."""
_ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class PolicyRequest:
    """The arguments of an operation on a policy.

    Attributes
    ----------
    read : callable
        Returns the policy; parsing a large one takes a second, so it is done in the operation.
    prune : bool
        Take away what the file omits.
    digest : str
        Of the text and of ``prune``: the result of a plan repeats it, so that it can be told which file was planned.
    """

    read: Callable[[ReadTransaction], Policy]
    prune: bool = False
    digest: str = ""


@dataclass(frozen=True, slots=True)
class _Plan:
    policy: Policy
    prune: bool
    revision: int
    planned: datetime
    assignments: AssignmentPlan
    opening: tuple[PolicyStep, ...]
    closing: tuple[PolicyStep, ...]
    late: tuple[AssignmentChange, ...]  # to authorize after the opening steps, which make them possible
    bulk_outcomes: tuple[tuple[str, str], ...]  # made before the transaction that others wait for
    people: Mapping[Identity, int]  # in each group that gains or loses a role

    @property
    def count(self) -> int:
        """The number of changes."""
        changes = self.assignments
        return len(self.opening) + len(changes.bulk) + len(changes.single) + len(self.closing)

    @property
    def has_steps(self) -> bool:
        """Whether it changes more than assignments that are staged."""
        return bool(self.opening or self.assignments.single or self.closing)


def plan_policy(control: OperationControl, request: PolicyRequest) -> Mapping[str, Any]:
    """Return what applying a policy would change, in roles and in rights; nothing changes.

    Returns
    -------
    mapping
        A `Result` with a row for each identity and scope that would gain or lose roles; ``data["steps"]`` lists the
        steps.
    """
    plan = _make_plan(control, request)
    rehearsed = None
    if plan.has_steps:
        control.report("trying the steps")
        rehearsed = dry_run(control.store, control.actor, lambda tx: _rehearse(tx, plan))
    rows, rights = _merged_rows(plan, rehearsed)
    answer = _summary(plan, pending=0)
    text = f"would do: {answer}" if rows else f"no rights would change; would do: {answer}"
    steps = [step for step, _ in _outcomes(plan, {})]
    result = table_result(
        ("identity", "scope", "gains", "loses"),
        rows,
        text,
        dry_run=True,
        answer=answer,
        steps=steps,
        permissions=rights,
        unlisted=plan.assignments.unlisted,
        digest=request.digest,
    )
    return result.at_revision(plan.revision).to_json()


def apply_policy(control: OperationControl, request: PolicyRequest) -> Mapping[str, Any]:
    """Apply a policy, completely or not at all.

    Returns
    -------
    mapping
        A `Result` with one row per step; the outcome of a step that is pending confirmation says so.

    Raises
    ------
    TooLarge
    Conflict
        The policy was read for another catalog than that of the deployment, or others changed the same access while it
        was being applied, several times.
    Problem
        The error of a step, with the step's JSON pointer as its fault.
    """
    for _ in range(_ATTEMPTS):
        plan = _make_plan(control, request)
        if not plan.count:
            return table_result(("step", "outcome"), [], _summary(plan, pending=0)).at_revision(plan.revision).to_json()
        if plan.assignments.bulk and plan.has_steps:
            # A step that is refused is noticed before thousands of assignments are staged.
            control.report("trying the steps")
            try_change(control.store, control.actor, partial(_rehearse, plan=plan))
        try:
            _stage(control, plan)
            guard = ConcurrentChanges(
                plan.assignments, plan.revision, plan.planned, control.operation.id, prune=plan.prune
            )
            with control.store.read_as(control.actor) as tx:
                guard.check(tx)
            control.report("putting the changes in effect")
            result = control.apply(partial(_switch, control=control, plan=plan, guard=guard))
        except StalePlanError:
            discard(control)
            continue
        finalize(control)
        return result
    raise Conflict(
        "others changed the same access while the policy was being applied, and nothing was changed",
        remedy="apply it again, at a quieter time",
    )


def discard(control: OperationControl) -> None:
    """Remove everything that the operation staged."""
    _in_batches(control, staged_assignments.discard_changes, "discarding", 0)


def finalize(control: OperationControl) -> None:
    """Write the records of every assignment that was put in effect."""
    result = control.operation.result or {}
    _in_batches(control, staged_assignments.finalize_changes, "recording", int(result.get("data", {}).get("staged", 0)))


KINDS = (
    OperationKind(PLAN, plan_policy),
    OperationKind(APPLY, apply_policy, discard=discard, finalize=finalize),
)


def _make_plan(control: OperationControl, request: PolicyRequest) -> _Plan:
    control.report("reading the policy")
    with control.store.read_as(control.actor) as tx:
        policy = request.read(tx)
        if policy.catalog.hash != tx.catalog.hash:
            raise Conflict(f"the policy is for the catalog `{policy.catalog.name}`, this deployment runs another")
        control.report("comparing", 0, len(policy.assignments))
        opening = opening_steps(tx, policy, prune=request.prune)
        closing = closing_steps(tx, policy) if request.prune else []
        if len(opening) + len(closing) > MAX_STEPS:
            raise TooLarge(
                f"the policy changes {len(opening) + len(closing)} roles, projects, groups and members",
                remedy=f"at most {MAX_STEPS} at once, since others wait meanwhile: use several files",
            )
        assignments = plan_assignments(tx, policy, prune=request.prune, rest=control.rest)
        control.report("authorizing", 0, len(assignments.bulk))
        needs_steps = depends_on_steps(tx, policy)
        late = [change for change in assignments.bulk if needs_steps(change)]
        is_late = set(late)
        check_changes(tx, (change for change in assignments.bulk if change not in is_late), control.rest)
        check_changes(tx, assignments.unchanged, control.rest)
        check_identities(tx, assignments.bulk, (Identity.group(name) for name in policy.form.groups))
        groups = {change.identity for change in assignments.bulk if change.identity.kind is IdentityKind.GROUP}
        people = {
            group: sum(member.kind is IdentityKind.USER for member in checks.transitive_members(tx, [group]))
            for group in groups
        }
        return _Plan(
            policy,
            request.prune,
            tx.revision,
            tx.now,
            assignments,
            tuple(opening),
            tuple(closing),
            combine_checks(late),
            _bulk_outcomes(assignments.bulk),
            people,
        )


def _stage(control: OperationControl, plan: _Plan) -> None:
    changes, size, done = plan.assignments.bulk, BatchSize(), 0
    # Even without a row: only an operation that staged something can be put in effect.
    control.write(lambda tx: None, effect=Effect.STAGED)
    while done < len(changes):
        control.report("staging", done, len(changes))
        batch = changes[done : done + size.items]
        stage = partial(staged_assignments.stage_changes, operation_id=control.operation.id, changes=batch)
        size.adapt(control.write(stage))
        done += len(batch)


def _switch(
    tx: WriteTransaction,
    put_in_effect: Callable[[], None],
    *,
    control: OperationControl,
    plan: _Plan,
    guard: ConcurrentChanges,
) -> Mapping[str, Any]:
    guard.check(tx)
    done: dict[PolicyStep, Result] = {step: step.run(tx) for step in plan.opening}
    check_changes(tx, plan.late, _no_rest)
    done |= {step: step.run(tx) for step in plan.assignments.single_steps()}
    put_in_effect()
    if plan.assignments.bulk:
        staged_assignments.record_effect(tx, control.operation.id, plan.assignments.bulk)
    done |= {step: step.run(tx) for step in plan.closing}
    pending = sum(result.pending_id is not None for result in done.values())
    rows: list[tuple[Any, ...]] = list(_outcomes(plan, {step.text: result for step, result in done.items()}))
    result = table_result(
        ("step", "outcome"),
        rows,
        _summary(plan, pending),
        pending_count=pending,
        staged=len(plan.assignments.bulk),
    )
    return result.at_revision(tx.revision).to_json()


def _rehearse(tx: WriteTransaction, plan: _Plan) -> Result:
    for step in plan.opening:
        step.run(tx)
    check_changes(tx, plan.late, _no_rest)
    for step in plan.assignments.single_steps():
        step.run(tx)
    # What is staged is not in effect here, so a role that it takes from its last holder could not be deleted.
    for step in () if plan.assignments.bulk else plan.closing:
        step.run(tx)
    return Result("message")


def _no_rest() -> None:
    return None


def _in_batches(
    control: OperationControl, work: Callable[[WriteTransaction, str, int], int], phase: str, total: int
) -> None:
    size, done = BatchSize(), 0
    while True:
        control.report(phase, done, total)
        count = 0

        def batch(tx: WriteTransaction) -> None:
            nonlocal count
            count = work(tx, control.operation.id, size.items)

        size.adapt(control.write(batch))
        if not count:
            return
        done += count


def _outcomes(plan: _Plan, results: Mapping[str, Result]) -> Iterator[tuple[str, str]]:
    """Yield each step with its outcome; a step of the bulk has no result of its own."""
    for step in (*plan.opening, *plan.assignments.single_steps()):
        yield step.text, results[step.text].message if step.text in results else ""
    yield from plan.bulk_outcomes
    for step in plan.closing:
        yield step.text, results[step.text].message if step.text in results else ""


def _bulk_outcomes(bulk: Sequence[AssignmentChange]) -> tuple[tuple[str, str], ...]:
    return tuple(_counted(bulk)) if len(bulk) > MAX_SHOWN else tuple((change.step, "done") for change in bulk)


def _counted(bulk: Sequence[AssignmentChange]) -> Iterator[tuple[str, str]]:
    def kind(change: AssignmentChange) -> tuple[str, str]:
        return ("revoke" if change.after is None else "grant" if change.before is None else "change", change.role)

    for (verb, role), changes in groupby(sorted(bulk, key=kind), key=kind):
        group = list(changes)
        identities, scopes = ({change.identity for change in group}, {change.scope for change in group})
        preposition = "from" if verb == "revoke" else "to" if verb == "grant" else "of"
        whom = f"{_plural(len(identities), 'identity')} in {_plural(len(scopes), 'scope')}"
        yield f"{verb} {role} {preposition} {whom}", _plural(len(group), "assignment")


def _summary(plan: _Plan, pending: int) -> str:
    text = _plural(plan.count, "change") if plan.count else "nothing to change"
    if pending:
        text += f"; {_plural(pending, 'of them waits', 'of them wait')} for confirmation in the panel"
    if plan.assignments.unlisted:
        unlisted = plan.assignments.unlisted
        text += (
            f"; {_plural(unlisted, 'assignment')} in its scopes {'is' if unlisted == 1 else 'are'} not in the file and"
            " stay (`--prune` revokes them)"
        )
    return text


def _plural(number: int, noun: str, nouns: str | None = None) -> str:
    several = nouns or (noun[:-1] + "ies" if noun.endswith("y") else noun + "s")
    return f"{number:,} {noun if number == 1 else several}"


def _merged_rows(plan: _Plan, rehearsed: Result | None) -> tuple[list[tuple[Any, ...]], list[Any]]:
    """Return the rows of a plan: the roles of the bulk, and the rights that the other steps change."""
    gains: dict[tuple[str, str], list[str]] = {}
    loses: dict[tuple[str, str], list[str]] = {}
    for change in plan.assignments.bulk:
        who = str(change.identity)
        if change.identity in plan.people:
            who += f" ({_plural(plan.people[change.identity], 'person', 'people')})"
        key = (who, change.scope)
        gains.setdefault(key, [])
        loses.setdefault(key, [])
        if change.after is not None:
            until = f" until {change.after.ends:%Y-%m-%d %H:%M} UTC" if change.after.ends else ""
            gains[key].append(change.role + until + (" (changed)" if change.before is not None else ""))
        else:
            loses[key].append(change.role)
    for identity, scope, gained, lost in () if rehearsed is None else rehearsed.rows:
        gains.setdefault((identity, scope), []).extend(gained)
        loses.setdefault((identity, scope), []).extend(lost)
    rows: list[tuple[Any, ...]] = [(*key, gains[key], loses[key]) for key in sorted(gains)]
    return rows, [] if rehearsed is None else list(rehearsed.data["permissions"])
