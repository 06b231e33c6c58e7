"""The operator on the service's own machine, who works on the store beside the running service."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from aizen_hub.accounts.roles import assignments
from aizen_hub.catalogs.loader import load_catalog
from aizen_hub.rbac.identity import Identity
from aizen_hub.store.actor import Actor, Channel
from aizen_hub.store.sql_store import Store
from tests.faults.history import Op
from tests.faults.installation import EXECUTOR, Installation

_ACTOR = Actor(Identity.service_account("operator"), Channel.OPERATOR)


class OperatorClient:
    """Gives and takes roles without asking the service, and records it like any client."""

    def __init__(self, installation: Installation, store: Store) -> None:
        self._installation, self._store = installation, store

    def change(self, op: str, user: str, project: str) -> Op:
        args = {"user": user, "project": project, "role": EXECUTOR}
        call = time.monotonic_ns()
        with self._store.write(_ACTOR) as tx:
            function = assignments.grant_roles if op == "grant" else assignments.revoke_roles
            function(tx, [EXECUTOR], project, Identity.user(user))
            revision = tx.revision
        return self._installation.recorder.add(Op("operator", op, args, call, time.monotonic_ns(), "done", revision))


@contextmanager
def operator_client(installation: Installation) -> Iterator[OperatorClient]:
    store = Store.open(installation.settings, load_catalog(installation.settings.catalog, ()))
    try:
        yield OperatorClient(installation, store)
    finally:
        store.close()
