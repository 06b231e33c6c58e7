"""Two replicas behind a transaction pooler, which gives each transaction another connection to PostgreSQL."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.background_load import under_load
from tests.faults.installation import Installation, create_installation, run_installation
from tests.faults.nemesis import backend_pids, end_backends
from tests.faults.revocation_storm import run_revocation_storm
from tests.fixtures.databases.pgbouncer import Pooler, running_pooler
from tests.fixtures.databases.postgres import Server, fresh_database

pytestmark = [pytest.mark.faults, pytest.mark.needs("postgres", "pgbouncer")]

CONNECTIONS = 12
"""A writer keeps one while it waits for its turn, and a replica has four writers: decisions need one beside them."""
REVOCATIONS, FEWEST, STORM_SECONDS = 500, 30, 3.0


@pytest.fixture
def pooled(postgres_server: Server, tmp_path: Path) -> Iterator[tuple[Installation, Pooler, str]]:
    """An installation reached through the pooler only, and the address of the database itself."""
    with fresh_database(postgres_server) as direct, running_pooler(postgres_server, CONNECTIONS) as pooler:
        url = pooler.url(direct.rpartition("/")[2])
        secrets = create_installation(tmp_path / "installation", url)
        with run_installation(tmp_path / "installation", secrets, url, replicas=2) as here:
            yield here, pooler, direct


@pytest.mark.proves("R48", "R79", "R102", "R105", "R109", "I1", "I2", "I3", "I4", "I7", "I8", "I10", "T-54")
def test_behind_a_transaction_pooler(pooled: tuple[Installation, Pooler, str]) -> None:
    """Taken at one replica, denied at the other; then its connections to the server are killed under load."""
    here, pooler, direct = pooled
    assert run_revocation_storm(here, REVOCATIONS, STORM_SECONDS, minimum=FEWEST) >= FEWEST
    assert here.violations() == []
    with under_load(here, 11):
        time.sleep(1)
        (pool,) = [one for one in pooler.query_console("SHOW POOLS") if one["database"] == direct.rpartition("/")[2]]
        assert pool["pool_mode"] == "transaction"
        assert len(backend_pids(direct)) > 1, "each transaction goes to another one of them"
        for _ in range(2):
            with here.recorder.fault("backends-ended"):
                end_backends(direct)
            time.sleep(0.7)
    assert here.violations() == []
