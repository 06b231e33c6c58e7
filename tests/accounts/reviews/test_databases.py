"""Uses, unused access and reviews: the same on SQLite and PostgreSQL."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import select

from aizen_hub.accounts.reviews import assignment_uses, carrying_out, choices, lifecycle, rows, unused_access
from aizen_hub.accounts.reviews.choices import FillRule, NewChoice
from aizen_hub.accounts.reviews.rows import Choice, RowFilter
from aizen_hub.authorization.decisions.use_counter import AssignmentUse
from aizen_hub.store import tables
from aizen_hub.store.sql_store import Store
from tests.store import store_rows
from tests.store.conftest import catalog, opened, settings, store  # noqa: F401 - fixtures
from tests.store.store_rows import TESTER


@pytest.mark.proves("R131", "R132")
def test_a_review_of_counted_uses(store: Store) -> None:  # noqa: F811
    with store.write(TESTER) as tx:
        store_rows.insert_project(tx, "p1")
        for name in ("ann", "bob"):
            store_rows.insert_assignment(tx, "PROJECT_READER", "p1", store_rows.insert_user(tx, name))
    with store.write(TESTER) as tx:
        ids = dict(tx.conn.execute(select(tables.assignments.c.identity, tables.assignments.c.id)).all())
        old = tx.now - timedelta(days=100)
        tx.conn.execute(tables.assignment_rows.update().values(granted=old))
        used = AssignmentUse(ids["user:ann"], old, tx.now - timedelta(days=1), 3)
        for use in (used, used._replace(last_used=old, uses=4)):
            assignment_uses.unauthorized_record_uses(tx, [use])
        review = lifecycle.start_review(tx, "p1")
    with store.read_as(TESTER) as read:
        assert assignment_uses.find_uses(read, ids.values()) == {ids["user:ann"]: used._replace(uses=7)}
        assert [role.identity for role in unused_access.find_unused_roles(read, ["p1"])] == ["user:bob"]
        summary = unused_access.summarize_unused(read)
        assert (summary.role_count, summary.account_count) == (1, len(summary.accounts))
        counts = {show: rows.count_rows(read, review, show) for show in RowFilter}
        assert counts[RowFilter.ALL] == 2
        assert counts[RowFilter.USED_RECENTLY] == counts[RowFilter.NEVER_USED] == counts[RowFilter.UNUSED_LONG] == 1
    with store.write(TESTER) as tx:
        assert choices.fill_in(tx, review.id, FillRule.KEEP_USED)[1] == 1
        shorten = NewChoice(ids["user:bob"], Choice.SHORTEN, tx.now + timedelta(days=9))
        assert choices.decide(tx, review.id, [shorten]).to_carry_out == 1
    with store.write(TESTER) as tx:
        result = carrying_out.carry_out(tx, review.id)
        assert result.data["finished"]
        assert [row.choice for row in carrying_out.list_carried_out(tx, review.id)] == [Choice.SHORTEN, Choice.KEEP]
    with store.write(TESTER) as tx:
        assert len(carrying_out.undo(tx, review.id).rows) == 1
        assert not lifecycle.get_review(tx, review.id).is_open
