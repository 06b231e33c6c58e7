"""What makes the plan of a policy outdated besides the changes of others."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from aizen_hub.accounts.roles import assignments
from aizen_hub.accounts.roles.staged_assignments import StalePlanError
from aizen_hub.catalogs.loader import load_catalog
from aizen_hub.policy import concurrent_changes
from aizen_hub.policy.assignment_plan import AssignmentPlan
from aizen_hub.policy.concurrent_changes import ConcurrentChanges
from aizen_hub.rbac.assignment import Interval
from aizen_hub.rbac.identity import Identity
from aizen_hub.settings import Settings
from aizen_hub.store.actor import Actor, Channel
from aizen_hub.store.sql_store import Store
from tests.fixtures.databases.sqlite import create_database_file
from tests.policy.conftest import OPERATOR

EVE = Actor(Identity.user("eve"), Channel.CLI)
PLAN = AssignmentPlan((), (), 0, frozenset({"p1"}))


@pytest.fixture
def store(tmp_path: Path, populated: Callable[[Store], Store]) -> Iterator[Store]:
    settings = Settings(data_dir=create_database_file(tmp_path / "data"), confirm_protected=False)
    store = populated(Store.open(settings, load_catalog("aizen")))
    yield store
    store.close()


@pytest.mark.proves("R48", "R66")
def test_a_role_of_the_actor_that_ended_by_time_is_noticed(store: Store) -> None:
    with store.write(OPERATOR) as tx:
        ended = tx.now - timedelta(minutes=1)
        assignments.unauthorized_write_assignment(
            tx, "PROJECT_ADMIN", "p1", EVE.identity, interval=Interval(None, ended)
        )
    with store.read_as(EVE) as tx:
        ConcurrentChanges(PLAN, tx.revision, tx.now, "operation", prune=False).check(tx)
        before = ended - timedelta(minutes=1)
        with pytest.raises(StalePlanError):
            ConcurrentChanges(PLAN, tx.revision, before, "operation", prune=False).check(tx)


def test_what_was_checked_once_is_not_read_again(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that few changes are left for the transaction that others wait for, those of the operation included."""
    monkeypatch.setattr(concurrent_changes, "_MAX_CHANGES", 1)
    with store.read_as(EVE) as tx:
        guard = ConcurrentChanges(PLAN, tx.revision, tx.now, "operation", prune=False)
    for _ in range(2):
        with store.write(EVE) as tx:
            tx.record_change("stage", {"operation": "operation"}, [])
        with store.read_as(EVE) as tx:
            guard.check(tx)
