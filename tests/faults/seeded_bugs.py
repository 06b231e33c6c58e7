"""``python -m tests.faults.seeded_bugs <bug> aizen.yaml``: the service with one seeded bug.

Each bug is a plausible mistake. The checker has to find every one of them, so the suite runs each and fails if it is
not found.
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

DELAY_SECONDS = 0.15
"""Seconds by which a bug delays: long for a computer, short for a reviewer."""


def answer_before_commit() -> None:
    """The answer to a change leaves as soon as the work is done; the commit follows."""
    from aizen_hub.store.sql_store import Store

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
            time.sleep(DELAY_SECONDS)
            real.__exit__(None, None, None)

        threading.Thread(target=commit).start()

    Store.write = committed_later  # type: ignore[method-assign]


def audit_in_second_transaction() -> None:
    """Rows of the audit are gathered and written a little later, in a transaction of their own."""
    from aizen_hub.store.audit_log.hash_chain import HashChain
    from aizen_hub.store.sql_store import Store

    append, opened = HashChain.append, Store.open.__func__  # type: ignore[attr-defined]
    pending: list[Any] = []
    lock = threading.Lock()

    def postpone(self: HashChain, cursor: Any, rows: Sequence[Any], server: int = 0) -> None:
        with lock:
            pending.extend(rows)

    def flush(store: Store) -> None:
        while True:
            time.sleep(DELAY_SECONDS)
            with lock:
                rows, pending[:] = list(pending), []
            if not rows:
                continue
            with store.write_lock(), store.database.engine.connect() as conn:
                store.database.begin(conn, "batch")
                cursor = store.database.cursor(conn)
                append(store.chain, cursor, rows)
                store.database.commit(conn)

    def open_with_flusher(cls: type[Store], settings: Any, catalog: Any) -> Store:
        store: Store = opened(cls, settings, catalog)
        threading.Thread(target=flush, args=(store,), daemon=True).start()
        return store

    HashChain.append = postpone  # type: ignore[method-assign]
    Store.open = classmethod(open_with_flusher)  # type: ignore[method-assign,assignment]


def cached_allow() -> None:
    """An allow is remembered for a few seconds and given again, as web applications do with sessions."""
    from aizen_hub.authorization.decisions.decision_service import DecisionService
    from aizen_hub.authorization.decisions.evaluation import DecisionRequest, RecordedDecision, boottime

    decide = DecisionService.decide
    cache: dict[Any, tuple[float, RecordedDecision]] = {}

    async def remembered(self: DecisionService, request: DecisionRequest) -> RecordedDecision:
        key = (request.actor.identity, request.actor.session, request.request)
        at, recorded = cache.get(key, (0.0, None))
        if recorded is not None and boottime() - at < 5:
            return replace(recorded, revision_read_at=boottime())
        recorded = await decide(self, request)
        if recorded.decision.allowed:
            cache[key] = (boottime(), recorded)
        return recorded

    DecisionService.decide = remembered  # type: ignore[method-assign]


def rights_never_dropped() -> None:
    """A revocation is committed, but what was compiled before it stays in use."""
    from aizen_hub.store.rights.cache import RightsCache

    def forget(self: RightsCache, touched: Any) -> None:
        return None

    RightsCache._invalidate = forget  # type: ignore[method-assign]


def positive_cache() -> None:
    """Who a token belongs to is remembered for five minutes, as the default of the hub's own helper has it."""
    from aizen_hub.authorization.decisions.decision_context import DecisionContext, Session

    look_up = DecisionContext.session
    cache: dict[str, tuple[float, Session]] = {}

    def remembered(self: DecisionContext, number: str) -> Session | None:
        at, session = cache.get(number, (0.0, None))
        if session is not None and time.monotonic() - at < 300:
            return session
        session = look_up(self, number)
        if session is not None and session.ended is None:
            cache[number] = (time.monotonic(), session)
        return session

    DecisionContext.session = remembered  # type: ignore[method-assign]


def last_admin_checked_outside() -> None:
    """The check for the last admin runs before the transaction, not in it."""
    from aizen_hub.accounts.roles import assignments, last_holder
    from aizen_hub.problems import LastHolder
    from aizen_hub.service.pipeline.request_context import RequestContext

    write = RequestContext.authorized_write

    @contextmanager
    def unguarded(tx: Any, grants: Any) -> Iterator[None]:
        yield

    async def checked_before(self: Any, operation: Any, request: Any = None) -> Any:
        body = self.body
        if self.route.path.endswith("/assignments/revoke") and body.roles == ["PROJECT_ADMIN"]:
            holders = await self.service.async_store.read(
                lambda tx: last_holder.active_holders(tx, "PROJECT_ADMIN", body.scope)
            )
            if holders <= {body.identity.removeprefix("user:")}:
                raise LastHolder("the last one stays")
            await asyncio.sleep(DELAY_SECONDS)
        return await write(self, operation, request)

    last_holder.last_holder_guard = unguarded
    assignments.last_holder.last_holder_guard = unguarded  # type: ignore[attr-defined]
    RequestContext.authorized_write = checked_before  # type: ignore[method-assign,assignment]


def keys_ignored() -> None:
    """The header ``Idempotency-Key`` is accepted and ignored."""
    from aizen_hub.service.http import idempotency

    def nothing(cls: type[idempotency.IdempotencyKey], *_: Any) -> None:
        return None

    idempotency.IdempotencyKey.of_request = classmethod(nothing)  # type: ignore[method-assign,assignment]


def answers_never_too_old() -> None:
    """A decision is answered however old it is."""
    from aizen_hub.authorization.decisions.evaluation import RecordedDecision

    RecordedDecision.is_fresh = property(lambda self: True)  # type: ignore[method-assign,assignment]


def import_row_by_row() -> None:
    """A file is imported one entry per transaction."""
    from aizen_hub.service.api import projects

    members = projects.members

    async def replace_members(call: Any) -> Any:
        whole = list(call.body.members)
        answer = None
        for number in range(max(1, len(whole) - 3), len(whole) + 1):
            part = projects._to_config_file(whole[:number]) or "[]"
            answer = await projects.authorized_result(
                call, lambda tx, part=part: members.replace_members(tx, call.path_params["project"], part)
            )
        return answer

    for route in projects.ROUTES:
        if route.handler is projects.replace_members:
            object.__setattr__(route, "handler", replace_members)


def record_before_its_turn() -> None:
    """What a transaction sees of the audit is settled before its turn to append comes (as it once was)."""
    from aizen_hub.store.sql_store import Store

    def record(self: Store, rows: Any) -> None:
        encoded = [row.encode() for row in rows]
        with self.translate_db_errors(), self.database.engine.connect() as conn:
            try:
                self.database.begin_and_read_state(conn, "batch")
                time.sleep(DELAY_SECONDS / 10)
                with self.chain_lock():
                    self.chain.append(self.database.cursor(conn), encoded)
                    self.database.commit(conn)
            except BaseException:
                self.database.rollback(conn)
                raise

    Store.append_audit = record  # type: ignore[method-assign]


BUGS: dict[str, Callable[[], None]] = {
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
    if len(sys.argv) != 3 or sys.argv[1] not in BUGS:
        print(f"usage: python -m tests.faults.seeded_bugs {'|'.join(BUGS)} aizen.yaml", file=sys.stderr)
        return 2
    from aizen_hub.service.server import run

    BUGS[sys.argv[1]]()
    return run(sys.argv[2])


if __name__ == "__main__":
    sys.exit(main())
