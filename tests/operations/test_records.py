"""Who sees and cancels an operation, how many one may have, and how long they are kept."""

from __future__ import annotations

from datetime import timedelta

import pytest

from aizen_hub.accounts.roles import assignments, custom_roles
from aizen_hub.accounts.users import registration
from aizen_hub.operations import records
from aizen_hub.operations.operation import Operation, OperationState, Progress
from aizen_hub.problems import Conflict, Denied, NotFound, TooManyRequests
from aizen_hub.rbac.identity import Identity
from aizen_hub.store.actor import Actor, Channel
from aizen_hub.store.sql_store import Store
from tests.operations.conftest import ADA, KIND

OPERATOR = Actor(Identity.service_account("operator"), Channel.OPERATOR)
BOSS, EVE = Actor(Identity.user("boss"), Channel.CLI), Actor(Identity.user("eve"), Channel.CLI)


@pytest.fixture
def operation(store: Store) -> Operation:
    """An operation of ada; boss is AIZEN_ADMIN, eve has no role."""
    with store.write(OPERATOR) as tx:
        for name in ("ada", "boss", "eve"):
            registration.create_user(tx, name, password="a long enough password, made up")
        assignments.unauthorized_write_assignment(tx, "AIZEN_ADMIN", "system", BOSS.identity)
    return create(store)


def create(store: Store) -> Operation:
    with store.write(ADA) as tx:
        return records.create_operation(tx, KIND, "process", {})


def test_only_its_owner_and_those_who_read_access_see_it(store: Store, operation: Operation) -> None:
    with store.read() as tx:
        for actor in (ADA, BOSS):
            assert records.get_visible_operation(tx, actor, operation.id) == operation
            assert records.list_visible_operations(tx, actor) == [operation]
        with pytest.raises(NotFound) as other:
            records.get_visible_operation(tx, EVE, operation.id)
        with pytest.raises(NotFound) as missing:
            records.get_visible_operation(tx, EVE, "0" * 32)
        assert other.value.detail == missing.value.detail
        assert records.list_visible_operations(tx, EVE) == []


def test_those_who_see_it_cancel_it_once(store: Store, operation: Operation) -> None:
    with pytest.raises(NotFound), store.write(EVE) as tx:
        records.request_cancellation(tx, operation.id)
    for actor in (BOSS, ADA):
        with store.write(actor) as tx:
            assert records.request_cancellation(tx, operation.id).cancelled_by == BOSS.identity


def test_reading_access_allows_no_cancellation(store: Store, operation: Operation) -> None:
    with store.write(OPERATOR) as tx:
        custom_roles.create_role(tx, "auditor", permissions=["read:access"], limits={}, scopes=["system"])
        assignments.unauthorized_write_assignment(tx, "auditor", "system", EVE.identity)
    with store.read() as tx:
        assert records.get_visible_operation(tx, EVE, operation.id) == operation
    with pytest.raises(Denied, match="manage:sessions"), store.write(EVE) as tx:
        records.request_cancellation(tx, operation.id)


def test_what_has_ended_cannot_be_cancelled(store: Store, operation: Operation) -> None:
    with store.write(ADA) as tx:
        records.finish(tx, operation, OperationState.SUCCEEDED, result={})
    with pytest.raises(Conflict, match="already ended: succeeded"), store.write(ADA) as tx:
        records.request_cancellation(tx, operation.id)


def test_one_user_has_few_at_once(store: Store, operation: Operation) -> None:
    others = [create(store) for _ in range(records.MAX_OPEN_PER_REQUESTER - 1)]
    with pytest.raises(TooManyRequests, match="4 of your operations have not ended"):
        create(store)
    with store.write(ADA) as tx:
        records.finish(tx, others[0], OperationState.SUCCEEDED, result={})
    create(store)


def test_the_progress_counts_for_the_owner_only(store: Store, operation: Operation) -> None:
    with store.write(ADA) as tx:
        records.renew(tx, operation.id, "process", Progress("counting", 1, 2))
        assert records.get_operation(tx, operation.id).progress.done == 1
    with pytest.raises(records.OperationInterrupted), store.write(ADA) as tx:
        records.renew(tx, operation.id, "another", Progress("counting", 2, 2))


def test_old_ones_are_deleted_and_open_ones_never(store: Store, operation: Operation) -> None:
    finished = create(store)
    with store.write(ADA) as tx:
        records.finish(tx, finished, OperationState.SUCCEEDED, result={})
        assert records.prune_operations(tx, tx.now - timedelta(days=1)) == 0
        assert records.prune_operations(tx, tx.now + timedelta(days=1)) == 1
        assert records.get_operation(tx, operation.id).id == operation.id
