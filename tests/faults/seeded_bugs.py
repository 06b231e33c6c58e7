"""``python -m tests.faults.seeded_bugs <plant> aizen.yaml``: the service with one bug planted in it.

Each plant is a mistake that somebody could make in good faith. A checker that misses one of them is worthless, so the
suite runs each and fails if it goes unnoticed.
"""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

LATER = 0.15
"""Seconds by which a plant is late: long for a computer, short for a reviewer."""


def answer_before_commit() -> None:
    """The answer to a change leaves as soon as the work is done; the commit follows."""
    from aizen_hub.store.store import Store

    write = Store.write

    @contextmanager
    def committed_later(self: Store, actor: Any) -> Iterator[Any]:
        real = write(self, actor)
        tx = real.__enter__()
        try:
            yield tx
        except BaseException:
            real.__exit__(*sys.exc_info())
            raise

        def commit() -> None:
            time.sleep(LATER)
            real.__exit__(None, None, None)

        threading.Thread(target=commit).start()

    Store.write = committed_later  # type: ignore[method-assign]


def audit_in_second_transaction() -> None:
    """Rows of the audit are gathered and written a little later, in a transaction of their own."""
    from aizen_hub.store.audit_log.hash_chain import Chain
    from aizen_hub.store.store import Store

    append, opened = Chain.append, Store.open.__func__  # type: ignore[attr-defined]
    waiting: list[Any] = []
    guard = threading.Lock()

    def put_off(self: Chain, cursor: Any, rows: Sequence[Any], server: int = 0) -> None:
        with guard:
            waiting.extend(rows)

    def flush(store: Store) -> None:
        while True:
            time.sleep(LATER)
            with guard:
                rows, waiting[:] = list(waiting), []
            if not rows:
                continue
            with store.one_writer(), store.database.engine.connect() as conn:
                store.database.begin(conn, "batch")
                cursor = store.database.cursor(conn)
                append(store.chain, cursor, rows)
                store.database.commit(conn)

    def open_one(cls: type[Store], settings: Any, catalog: Any) -> Store:
        store: Store = opened(cls, settings, catalog)
        threading.Thread(target=flush, args=(store,), daemon=True).start()
        return store

    Chain.append = put_off  # type: ignore[method-assign]
    Store.open = classmethod(open_one)  # type: ignore[method-assign,assignment]


def cached_allow() -> None:
    """An allow is remembered for a few seconds and given again, as web applications do with sessions."""
    from aizen_hub.authorization.decisions.decision_service import Court
    from aizen_hub.authorization.decisions.evaluation import Question, Ruling, clock

    decide = Court.decide
    known: dict[Any, tuple[float, Ruling]] = {}

    async def remembered(self: Court, question: Question) -> Ruling:
        key = (question.actor.identity, question.actor.session, question.request)
        at, ruling = known.get(key, (0.0, None))
        if ruling is not None and clock() - at < 5:
            return replace(ruling, read_at=clock())
        ruling = await decide(self, question)
        if ruling.decision.allowed:
            known[key] = (clock(), ruling)
        return ruling

    Court.decide = remembered  # type: ignore[method-assign]


def rights_never_dropped() -> None:
    """A revocation is committed, but what was compiled before it stays in use."""
    from aizen_hub.store.rights.cache import RightsCache

    def forget(self: RightsCache, touched: Any) -> None:
        return None

    RightsCache._forget = forget  # type: ignore[method-assign]


def positive_cache() -> None:
    """Who a token belongs to is remembered for five minutes, as the default of the hub's own helper has it."""
    from aizen_hub.authorization.decisions.session_facts import Facts, Session

    look_up = Facts.session
    known: dict[str, tuple[float, Session]] = {}

    def remembered(self: Facts, number: str) -> Session | None:
        at, session = known.get(number, (0.0, None))
        if session is not None and time.monotonic() - at < 300:
            return session
        session = look_up(self, number)
        if session is not None and session.ended is None:
            known[number] = (time.monotonic(), session)
        return session

    Facts.session = remembered  # type: ignore[method-assign]


def last_admin_checked_outside() -> None:
    """Whether somebody is the last admin is looked up before the transaction, not in it."""
    from aizen_hub.accounts.roles import assignments
    from aizen_hub.accounts.roles import last_holder as holders
    from aizen_hub.problems import LastHolder
    from aizen_hub.service.pipeline.request_context import Call

    write = Call.write

    @contextmanager
    def kept(tx: Any, places: Any) -> Iterator[None]:
        yield

    async def checked_before(self: Any, work: Any, question: Any = None) -> Any:
        body = self.body
        if self.route.path.endswith("/assignments/revoke") and body.roles == ["PROJECT_ADMIN"]:
            left = await self.house.look(lambda tx: holders.holders(tx, "PROJECT_ADMIN", body.scope))
            if left <= {body.identity.removeprefix("user:")}:
                raise LastHolder("the last one stays")
            await asyncio.sleep(LATER)
        return await write(self, work, question)

    holders.kept = kept
    assignments.holders.kept = kept  # type: ignore[attr-defined]
    Call.write = checked_before  # type: ignore[method-assign,assignment]


def keys_ignored() -> None:
    """The header ``Idempotency-Key`` is accepted and not looked at."""
    from aizen_hub.service.pipeline import idempotency as replay

    def nothing(cls: type[replay.Key], call: Any) -> None:
        return None

    replay.Key.of = classmethod(nothing)  # type: ignore[method-assign,assignment]


def answers_never_too_old() -> None:
    """What was decided is answered, however long it waited for its answer to leave."""
    from aizen_hub.authorization.decisions.evaluation import Ruling

    Ruling.fresh = property(lambda self: True)  # type: ignore[method-assign,assignment]


def import_row_by_row() -> None:
    """A file is imported one entry per transaction."""
    from aizen_hub.service.api import projects

    members = projects.project_members

    async def replace_members(call: Any) -> Any:
        whole = list(call.body.members)
        answer = None
        for number in range(max(1, len(whole) - 3), len(whole) + 1):
            part = projects._file(whole[:number]) or "[]"
            answer = await projects.change(
                call, lambda tx, part=part: members.replace(tx, call.members["project"], part)
            )
        return answer

    for route in projects.ROUTES:
        if route.handle is projects.replace:
            object.__setattr__(route, "handle", replace_members)


def record_before_its_turn() -> None:
    """What a transaction sees of the audit is settled before its turn to append comes (as it once was)."""
    from aizen_hub.store.store import Store

    def record(self: Store, rows: Any) -> None:
        encoded = [row.encode() for row in rows]
        with self.guarded(), self.database.engine.connect() as conn:
            try:
                self.database.begin_at(conn, "batch")
                time.sleep(LATER / 10)
                with self.chain_turn():
                    self.chain.append(self.database.cursor(conn), encoded)
                    self.database.commit(conn)
            except BaseException:
                self.database.rollback(conn)
                raise

    Store.record = record  # type: ignore[method-assign]


PLANTS: dict[str, Callable[[], None]] = {
    plant.__name__.replace("_", "-"): plant
    for plant in (
        answer_before_commit,
        audit_in_second_transaction,
        cached_allow,
        rights_never_dropped,
        positive_cache,
        last_admin_checked_outside,
        keys_ignored,
        answers_never_too_old,
        import_row_by_row,
        record_before_its_turn,
    )
}


def main() -> int:
    if len(sys.argv) != 3 or sys.argv[1] not in PLANTS:
        print(f"usage: python -m tests.faults.seeded_bugs {'|'.join(PLANTS)} aizen.yaml", file=sys.stderr)
        return 2
    from aizen_hub.service.server import run

    PLANTS[sys.argv[1]]()
    return run(sys.argv[2])


if __name__ == "__main__":
    sys.exit(main())
