"""The operator on the service's own machine, who works on the store beside the running service."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from aizen_hub.accounts.roles import assignments
from aizen_hub.catalogs.loader import load_catalog
from aizen_hub.rbac.identity import Identity
from aizen_hub.store.actor import Actor, Road
from aizen_hub.store.store import Store
from tests.faults.history import Op
from tests.faults.install import EXECUTOR, Town

_ACTOR = Actor(Identity.service_account("operator"), Road.OPERATOR)


class Operator:
    """Gives and takes roles without asking the service, and records it like any client."""

    def __init__(self, town: Town, store: Store) -> None:
        self._town, self._store = town, store

    def change(self, op: str, user: str, project: str) -> Op:
        args = {"user": user, "project": project, "role": EXECUTOR}
        call = time.monotonic_ns()
        with self._store.write(_ACTOR) as tx:
            what = assignments.grant if op == "grant" else assignments.revoke
            what(tx, [EXECUTOR], project, Identity.user(user))
            revision = tx.revision
        return self._town.recorder.add(Op("operator", op, args, call, time.monotonic_ns(), "done", revision))


@contextmanager
def operator(town: Town) -> Iterator[Operator]:
    store = Store.open(town.settings, load_catalog(town.settings.catalog, ()))
    try:
        yield Operator(town, store)
    finally:
        store.close()
