"""The rows that say what runs at the core: made for what ran before there were such rows, and found at a glance."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from alembic.migration import MigrationContext
from alembic.operations import Operations
from alembic.script import ScriptDirectory
from sqlalchemy import insert, select, text

from aizen_hub.jobs import leases as watch
from aizen_hub.store import migrate as schema
from aizen_hub.store import tables
from aizen_hub.store.database import Database
from tests.accounts.harness import OPERATOR, House, open_house

_O = tables.open_commands.c


def test_jobs_that_run_when_the_schema_changes_are_taken_up(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'old.sqlite'}")
    script: ScriptDirectory = schema._script()
    steps = {one.revision: one.module.upgrade for one in script.walk_revisions()}
    with database.engine.connect() as conn, Operations.context(MigrationContext.configure(conn)):
        for number in sorted(steps):
            if number == "0008":
                for name, project, ended in (("runs", "p1", None), ("ended", "p1", 5), ("system", "system", None)):
                    conn.execute(
                        text(
                            'INSERT INTO jobs (decision_id, "user", project, command, key, started, ended)'
                            " VALUES (:name, 'eve', :project, 'start training churn', 'training churn', 1, :ended)"
                        ),
                        {"name": name, "project": project, "ended": ended},
                    )
            steps[number]()
        rows = conn.execute(select(_O.decision_id, _O.project, _O.job, _O.lost).order_by(_O.decision_id)).all()
    database.dispose()
    assert [tuple(row) for row in rows] == [("runs", "p1", "starts", False), ("system", None, "starts", False)]


@pytest.fixture
def house(peopled: Path, tmp_path: Path) -> Iterator[House]:
    shutil.copytree(peopled, tmp_path / "data")
    found = open_house(tmp_path / "data")
    yield found
    found.close()


@pytest.mark.parametrize(("seconds", "taken"), [(-1.0, True), (5.0, False), (3_600.0, True)])
def test_a_lease_of_a_clock_that_was_wrong_holds_nobody_up(house: House, seconds: float, taken: bool) -> None:
    with house.writing(OPERATOR) as tx:
        values = {"user": "emma", "command": "list trainings", "watcher": "gone", "lost": False}
        until = tx.now + timedelta(seconds=seconds)
        tx.conn.execute(insert(tables.open_commands).values(decision_id="a", until=until, **values))
    with house.writing(OPERATOR) as tx:
        assert watch.anybody_waits(tx) is taken
        assert [row.decision_id for row in watch.take(tx, "me", 10)] == (["a"] if taken else [])
        assert watch.holds(tx, "a", "me", 1.0) is taken
        assert not watch.anybody_waits(tx)


def test_a_look_takes_an_index_however_much_runs(house: House) -> None:
    with house.reading() as tx:
        query = str(select(_O.decision_id).where(watch._unwatched(tx)).compile(compile_kwargs={"literal_binds": True}))
        plan = " ".join(str(row) for row in tx.conn.exec_driver_sql(f"EXPLAIN QUERY PLAN {query}"))
    assert "ix_open_commands_until" in plan
    assert "SCAN" not in plan
