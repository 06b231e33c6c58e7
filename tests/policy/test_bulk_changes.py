"""Policies that change many assignments: in effect all at once or not at all, whatever happens in the middle."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import select

from aizen_hub.accounts.roles import assignments
from aizen_hub.accounts.users import registration
from aizen_hub.audit.integrity.state_comparison import compare_state
from aizen_hub.audit.search import AuditFilter, search_newest
from aizen_hub.operations import records
from aizen_hub.operations.control import OperationControl
from aizen_hub.operations.operation import Operation, OperationState
from aizen_hub.operations.runner import OperationRunner
from aizen_hub.policy.apply import KINDS, PLAN
from aizen_hub.problems import Conflict, Denied, Escalation, NotFound
from aizen_hub.rbac.assignment import Interval
from aizen_hub.rbac.decision import AuthorizationRequest
from aizen_hub.rbac.engine import decide
from aizen_hub.rbac.identity import Identity
from aizen_hub.rbac.permission import Permission
from aizen_hub.store import tables
from aizen_hub.store.actor import Actor, Channel
from aizen_hub.store.sql_store import Store
from tests.policy.conftest import OPERATOR, assigned, register_users, run, run_operation, staged_rows

USERS = [f"u{number}" for number in range(120)]
ADA = Actor(Identity.user("ada"), Channel.CLI)
ADMIN = {"role": "PROJECT_ADMIN", "scope": "p1", "identity": "user:ada"}
UNTIL = "2099-01-01T00:00:00+00:00"
Hook = Callable[[int], None]


def entry(user: str, role: str = "PROJECT_READER", **more: Any) -> dict[str, Any]:
    return {"role": role, "scope": "p1", "identity": f"user:{user}", **more}


def readers(users: list[str] = USERS) -> dict[str, Any]:
    return {"projects": ["p1"], "assignments": [ADMIN, *(entry(user) for user in users)]}


def may_read(store: Store, user: str) -> bool:
    request = AuthorizationRequest(Permission.parse("read:training"), "p1")
    with store.read() as tx:
        return decide(tx.rights(Identity.user(user)), request, tx.now).allowed


def events(store: Store, event: str) -> list[Any]:
    with store.read() as tx:
        return search_newest(tx.conn, AuditFilter(event=event), 1_000)


def assert_consistent(store: Store) -> None:
    """Assert that nothing is staged any more, and that the tables and the audit are what was recorded."""
    assert staged_rows(store) == 0
    with store.read() as tx:
        assert compare_state(tx.conn) == []


def last_operation(store: Store) -> Operation:
    with store.read() as tx:
        newest = select(tables.operations).order_by(tables.operations.c.requested.desc()).limit(1)
        return Operation.from_row(tx.conn.execute(newest).one())


@pytest.fixture
def after_staging(monkeypatch: pytest.MonkeyPatch) -> Callable[[Hook], None]:
    """Return a function that sets what is done after each batch that was staged; the hook gets its number."""
    genuine, staged = OperationControl.write, Counter[str]()

    def observe(hook: Hook) -> None:
        def write(self: OperationControl, change: Any, **options: Any) -> float:
            seconds = genuine(self, change, **options)
            if getattr(change, "func", None) is not None and change.func.__name__ == "stage_changes":
                staged["batches"] += 1
                hook(staged["batches"])
            return seconds

        monkeypatch.setattr(OperationControl, "write", write)

    return observe


@pytest.mark.parametrize("project", ["p1", "p2"])
def test_a_step_that_is_refused_is_noticed_before_anything_is_staged(
    any_store: Store, after_staging: Callable[[Hook], None], project: str
) -> None:
    """Ada may give roles in her project; making another one is refused, whatever is staged meanwhile."""
    register_users(any_store, USERS)
    batches: list[int] = []
    after_staging(batches.append)
    policy = readers() | {"projects": sorted({"p1", project})}
    if project == "p1":
        run(any_store, policy, ADA)
        assert batches
    else:
        with pytest.raises((Denied, Escalation, NotFound)):
            run(any_store, policy, ADA)
        assert batches == []
        assert_consistent(any_store)


class TestEffect:
    @pytest.mark.proves("T-38", "R93")
    def test_each_change_has_its_rows_and_its_audit_row(self, any_store: Store) -> None:
        register_users(any_store, USERS)
        old, kept, longer = USERS[:30], USERS[30:60], USERS[60:90]
        run(any_store, {**readers(old + kept + longer), "projects": ["p1"]})
        new = USERS[90:]
        wanted = {
            "projects": ["p1"],
            "assignments": [
                ADMIN,
                *(entry(user) for user in kept + new),
                *(entry(user, until=UNTIL, reason="longer") for user in longer),
            ],
        }
        plan = run(any_store, wanted, kind=PLAN, prune=True)
        before = assigned(any_store)
        assert {row[0]: (row[2], row[3]) for row in plan.rows} == {
            **{f"user:{user}": (["PROJECT_READER"], []) for user in new},
            **{f"user:{user}": (["PROJECT_READER until 2099-01-01 00:00 UTC (changed)"], []) for user in longer},
            **{f"user:{user}": ([], ["PROJECT_READER"]) for user in old},
        }
        assert assigned(any_store) == before, "a plan changes nothing"
        granted = len(events(any_store, "role.granted"))
        result = run(any_store, wanted, prune=True)
        assert result.message == "90 changes"
        assert {row[0] for row in result.rows} == {
            "grant PROJECT_READER to 30 identities in 1 scope",
            "change PROJECT_READER of 30 identities in 1 scope",
            "revoke PROJECT_READER from 30 identities in 1 scope",
        }
        holders = {identity for role, _, identity in assigned(any_store) if role == "PROJECT_READER"}
        assert holders == {f"user:{user}" for user in kept + longer + new}
        assert len(events(any_store, "role.granted")) - granted == 60
        assert {row["details"]["target"] for row in events(any_store, "role.revoked")} == {f"user:{u}" for u in old}
        with any_store.read() as tx:
            row = assignments.find_assignment(tx, "PROJECT_READER", "p1", Identity.user(longer[0]))
        assert row is not None
        assert (row.ends, row.reason) == (datetime(2099, 1, 1, tzinfo=UTC), "longer")
        assert run(any_store, wanted, prune=True).message == "nothing to change"
        assert_consistent(any_store)

    @pytest.mark.proves("R104", "I9")
    def test_nothing_is_in_effect_before_everything_is(
        self, any_store: Store, after_staging: Callable[[Hook], None]
    ) -> None:
        register_users(any_store, USERS)
        run(any_store, readers(USERS[:40]))
        before, seen = assigned(any_store), list[int]()
        assert may_read(any_store, "u0")
        assert not may_read(any_store, "u119")

        def look(number: int) -> None:
            seen.append(number)
            any_store.cache.clear()  # compiled again, from the rows
            assert staged_rows(any_store) > 0
            assert assigned(any_store) == before
            assert may_read(any_store, "u0")
            assert not may_read(any_store, "u119")
            with any_store.read() as tx:
                assert compare_state(tx.conn) == []

        after_staging(look)
        run(any_store, readers(USERS[40:]), prune=True)
        assert len(seen) >= 2
        assert not may_read(any_store, "u0")
        assert may_read(any_store, "u119")
        assert_consistent(any_store)

    def test_all_changes_have_one_revision(self, any_store: Store) -> None:
        register_users(any_store, USERS)
        run(any_store, readers())
        with any_store.read() as tx:
            changes = tx.conn.execute(select(tables.changes.c.payload, tables.changes.c.invalidates)).all()
        effects = [row for row in changes if any(change["kind"] == "apply" for change in row.payload)]
        (effect,) = effects
        assert set(effect.invalidates) == {f"user:{user}" for user in USERS}

    def test_a_new_project_and_a_new_role_are_possible_in_the_same_file(self, store: Store) -> None:
        register_users(store, USERS)
        data = {
            "roles": {"scorer": {"permissions": ["read", "execute:prediction"], "scopes": ["project"]}},
            "projects": ["p9"],
            "assignments": [{"role": "scorer", "scope": "p9", "identity": f"user:{user}"} for user in USERS],
        }
        assert run(store, data).message == "122 changes"
        assert len([key for key in assigned(store) if key[:2] == ("scorer", "p9")]) == 120
        assert_consistent(store)


class TestEndBeforeEffect:
    @pytest.mark.proves("R104", "I9")
    def test_a_cancellation_in_the_middle_leaves_nothing(
        self, any_store: Store, after_staging: Callable[[Hook], None]
    ) -> None:
        register_users(any_store, USERS)
        run(any_store, readers(USERS[:10]))
        before = assigned(any_store)
        granted = len(events(any_store, "role.granted"))

        def cancel(number: int) -> None:
            with any_store.write(OPERATOR) as tx:
                records.request_cancellation(tx, last_operation(any_store).id)

        after_staging(cancel)
        operation = run_operation(any_store, readers(USERS[10:]), prune=True)
        assert operation.state is OperationState.CANCELLED
        assert operation.problem is not None
        assert operation.problem["detail"] == "the operation was cancelled, and nothing was changed"
        assert operation.result is None
        assert assigned(any_store) == before
        assert len(events(any_store, "role.granted")) == granted
        assert_consistent(any_store)

    @pytest.mark.proves("R104", "I9")
    def test_the_end_of_the_process_in_the_middle_leaves_nothing(
        self, any_store: Store, after_staging: Callable[[Hook], None]
    ) -> None:
        register_users(any_store, USERS)
        before = assigned(any_store)

        class Killed(BaseException):
            """The process ends here: nothing after it is executed."""

        def kill(number: int) -> None:
            raise Killed

        after_staging(kill)
        with pytest.raises(Killed):
            run_operation(any_store, readers())
        assert last_operation(any_store).state is OperationState.RUNNING
        assert staged_rows(any_store) > 0
        assert assigned(any_store) == before
        recover(any_store)
        operation = last_operation(any_store)
        assert operation.state is OperationState.INTERRUPTED
        assert operation.problem is not None
        assert (
            operation.problem["detail"]
            == "the service ended or was sealed before the operation had ended, and nothing was changed"
        )
        assert assigned(any_store) == before
        assert_consistent(any_store)

    def test_the_end_of_the_process_after_the_effect_loses_no_audit_row(
        self, any_store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        register_users(any_store, USERS)

        class Killed(BaseException):
            """The process ends here."""

        def kill(control: OperationControl) -> None:
            raise Killed

        with monkeypatch.context() as patched:
            patched.setattr("aizen_hub.policy.apply.finalize", kill)
            with pytest.raises(Killed):
                run_operation(any_store, readers())
        assert may_read(any_store, "u7"), "it is in effect"
        granted = len(events(any_store, "role.granted"))
        recover(any_store)
        assert last_operation(any_store).state is OperationState.SUCCEEDED
        assert last_operation(any_store).result is not None
        assert len(events(any_store, "role.granted")) - granted == len(USERS)
        assert_consistent(any_store)

    def test_a_change_that_is_refused_at_the_end_leaves_nothing(self, store: Store) -> None:
        register_users(store, USERS)
        before = assigned(store)
        data = {**readers(), "groups": {"g": ["user:unknown"]}}
        with pytest.raises(NotFound, match="no user `unknown`"):
            run(store, data)
        assert assigned(store) == before
        assert_consistent(store)


def recover(store: Store) -> None:
    """Do what the next process does at its start."""
    runner = OperationRunner(store, KINDS, lambda handler: None)
    try:
        assert runner.recover(alone=True) == 1
        assert runner.recover(alone=True) == 0
    finally:
        runner.close()


class TestOthers:
    """Others change access while a policy is staged."""

    def test_a_change_of_the_same_assignment_is_taken_into_account(
        self, any_store: Store, after_staging: Callable[[Hook], None]
    ) -> None:
        register_users(any_store, USERS)
        run(any_store, readers(USERS[:30]))

        def change(number: int) -> None:
            if number == 1:
                with any_store.write(OPERATOR) as tx:
                    assignments.unauthorized_write_assignment(tx, "PROJECT_READER", "p1", Identity.user("u119"))
                    assignments.unauthorized_delete_assignment(tx, "PROJECT_READER", "p1", Identity.user("u0"))
                    assignments.unauthorized_write_assignment(tx, "PROJECT_EXECUTOR", "p1", Identity.user("rob"))

        after_staging(change)
        run(any_store, readers(USERS[30:]), prune=True)
        holders = Counter(identity for role, scope, identity in assigned(any_store) if scope == "p1")
        assert holders == Counter(["user:ada", *(f"user:{user}" for user in USERS[30:])])
        assert_consistent(any_store)

    def test_a_change_of_something_else_is_no_conflict(
        self, any_store: Store, after_staging: Callable[[Hook], None]
    ) -> None:
        register_users(any_store, USERS)
        batches = list[int]()

        def change(number: int) -> None:
            batches.append(number)
            with any_store.write(OPERATOR) as tx:
                registration.create_user(tx, f"another{number}", provider="local")
                assignments.unauthorized_write_assignment(tx, "PROJECT_READER", "p1", Identity.user("rob"))

        after_staging(change)
        run(any_store, readers())
        assert may_read(any_store, "rob"), "without --prune a holder who is not in the file stays"
        assert len(events(any_store, "assignments.staged")) == len(batches), "staged once"
        assert_consistent(any_store)

    def test_another_operation_with_the_same_changes_is_taken_into_account(
        self, any_store: Store, after_staging: Callable[[Hook], None]
    ) -> None:
        register_users(any_store, USERS)

        def apply_too(number: int) -> None:
            if number == 1:
                run(any_store, readers(USERS[:60]))

        after_staging(apply_too)
        run(any_store, readers())
        holders = Counter(identity for role, _, identity in assigned(any_store) if role == "PROJECT_READER")
        assert holders == Counter(f"user:{user}" for user in USERS)
        assert_consistent(any_store)

    def test_changes_all_the_time_end_it_without_effect(
        self, store: Store, after_staging: Callable[[Hook], None]
    ) -> None:
        register_users(store, USERS)

        def change(number: int) -> None:
            with store.write(OPERATOR) as tx:
                interval = Interval(ends=datetime(2090, 1, 1 + number, tzinfo=UTC))
                assignments.unauthorized_write_assignment(
                    tx, "PROJECT_READER", "p1", Identity.user("u5"), interval=interval
                )

        after_staging(change)
        with pytest.raises(Conflict, match="others changed the same access"):
            run(store, readers())
        assert {key for key in assigned(store) if key[0] == "PROJECT_READER"} == {("PROJECT_READER", "p1", "user:u5")}
        assert_consistent(store)

    def test_an_actor_who_loses_the_right_meanwhile_changes_nothing(
        self, any_store: Store, after_staging: Callable[[Hook], None]
    ) -> None:
        register_users(any_store, USERS)

        def revoke(number: int) -> None:
            with any_store.write(OPERATOR) as tx:
                assignments.unauthorized_write_assignment(tx, "PROJECT_ADMIN", "p1", Identity.user("eve"))
                assignments.unauthorized_delete_assignment(tx, "PROJECT_ADMIN", "p1", Identity.user("ada"))

        after_staging(revoke)
        with pytest.raises((Denied, Escalation, NotFound)):
            run(any_store, {**readers(), "assignments": readers()["assignments"][1:]}, ADA)
        assert not any(role == "PROJECT_READER" for role, _, _ in assigned(any_store))
        assert_consistent(any_store)

    def test_a_user_who_is_deleted_meanwhile_ends_it(self, store: Store, after_staging: Callable[[Hook], None]) -> None:
        register_users(store, USERS)

        def delete(number: int) -> None:
            with store.write(OPERATOR) as tx:
                if number == 1:
                    registration.delete_users(tx, ["u3"])

        after_staging(delete)
        with pytest.raises(NotFound, match="no user `u3`"):
            run(store, readers())
        assert not may_read(store, "u4")
        assert staged_rows(store) == 0


class TestAuthorization:
    @pytest.mark.proves("R66", "R67", "T-04")
    def test_one_change_beyond_the_actors_rights_stops_all(self, store: Store) -> None:
        register_users(store, USERS)
        run(store, {"projects": ["p2"]})
        before = assigned(store)
        for bad, projects, pointer in (
            ({"role": "PROJECT_READER", "scope": "p2", "identity": "user:u1"}, ["p1", "p2"], "/projects/1"),
            ({"role": "PROJECT_CREATOR", "scope": "system", "identity": "user:u1"}, ["p1"], "/assignments/121"),
        ):
            data = readers()
            data["projects"] = projects
            data["assignments"] = [*data["assignments"], bad]
            with pytest.raises((Denied, Escalation)) as caught:
                run(store, data, ADA)
            assert caught.value.faults[0].pointer == pointer
        assert assigned(store) == before
        run(store, readers(), ADA)
        assert may_read(store, "u119")
        assert_consistent(store)

    def test_an_unknown_user_is_named(self, store: Store) -> None:
        register_users(store, USERS)
        with pytest.raises(NotFound, match="no user `unregistered`") as caught:
            run(store, readers([*USERS, "unregistered"]))
        assert caught.value.faults[0].pointer == "/assignments/121"


PRUNED = [
    # What is in the store and not in the file; whether it is there after an apply without and with --prune.
    ("holder in a scope of the file", ("PROJECT_READER", "p1", "user:rob"), True, False),
    ("holder in another scope", ("PROJECT_READER", "p2", "user:rob"), True, True),
    ("holder in the system, where the file assigns nothing", ("PROJECT_CREATOR", "system", "user:rob"), True, True),
    ("the creator's own role", ("PROJECT_ADMIN", "p1", "user:ada"), True, True),
]


@pytest.mark.parametrize("size", [1, len(USERS)], ids=["few", "many"])
@pytest.mark.parametrize("prune", [False, True], ids=["kept", "pruned"])
@pytest.mark.parametrize(("what", "key", "kept", "pruned"), PRUNED, ids=[case[0] for case in PRUNED])
def test_only_prune_takes_away_what_the_file_omits(
    store: Store, what: str, key: tuple[str, str, str], kept: bool, pruned: bool, prune: bool, size: int
) -> None:
    register_users(store, USERS)
    run(store, {"projects": ["p2"]})
    with store.write(OPERATOR) as tx:
        assignments.unauthorized_write_assignment(tx, key[0], key[1], Identity.parse(key[2]))
    data = {"projects": ["p1"], "assignments": [entry(user) for user in USERS[:size]]}
    plan = run(store, data, kind=PLAN, prune=prune)
    run(store, data, prune=prune)
    assert (key in assigned(store)) is (pruned if prune else kept), what
    assert plan.data["unlisted"] == int(kept and not pruned and not prune)
    assert ("`--prune` revokes" in plan.message) is bool(plan.data["unlisted"])
