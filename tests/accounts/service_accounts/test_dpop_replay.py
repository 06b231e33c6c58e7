"""A DPoP proof is accepted once, on either database and at any replica."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from aizen_hub.accounts.service_accounts import dpop_replay
from aizen_hub.store.sql_store import Store
from tests.store.conftest import Opener, catalog, opened, settings, store  # noqa: F401 - fixtures
from tests.store.store_rows import TESTER

KEY = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"


@pytest.mark.proves("R58", "R109")
def test_a_proof_counts_once_at_whichever_replica(opened: Opener) -> None:  # noqa: F811
    first, second = opened(), opened()
    keys = (("a", "1"), ("a", "2"), ("b", "1"))
    for replica, other in ((first, second), (second, first)):
        for key, proof_id in keys:
            proof_id += "x" * (replica is second)
            accepted = [spend(one, key * 43, proof_id) for one in (replica, other, replica)]
            assert accepted == [True, False, False], (key, proof_id)


@pytest.mark.proves("R58")
def test_of_many_at_the_same_time_one_counts(opened: Opener) -> None:  # noqa: F811
    replicas = [opened(), opened()]
    with ThreadPoolExecutor(8) as threads:
        for proof_id in map(str, range(5)):
            tries = [threads.submit(spend, replicas[index % 2], KEY, proof_id) for index in range(8)]
            assert sorted(future.result(timeout=30) for future in tries) == [False] * 7 + [True]


@pytest.mark.proves("R127")
def test_used_proofs_are_pruned_once_they_expire(store: Store) -> None:  # noqa: F811
    assert spend(store, KEY, "old", -1)
    assert spend(store, KEY, "new", 60)
    with store.write(TESTER) as tx:
        before = tx.revision
        dpop_replay.prune_proofs(tx)
    assert [spend(store, KEY, number) for number in ("old", "new")] == [True, False]
    with store.read() as tx:
        assert tx.revision == before, "nothing that a decision depends on"


def spend(store: Store, key: str, proof_id: str, seconds: int = 90) -> bool:  # noqa: F811
    with store.write(TESTER) as tx:
        return dpop_replay.mark_proof_used(tx, key, proof_id, tx.now + timedelta(seconds=seconds))
