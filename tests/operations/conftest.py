"""Fixtures of the operations tests: a store, and operations of a kind whose work a test gives."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from aizen_hub.catalogs.loader import load_catalog
from aizen_hub.operations.control import OperationControl
from aizen_hub.operations.kind import OperationKind
from aizen_hub.operations.runner import OperationRunner
from aizen_hub.rbac.identity import Identity
from aizen_hub.settings import Settings
from aizen_hub.store.actor import Actor, Channel
from aizen_hub.store.sql_store import Store
from tests.fixtures.databases.sqlite import create_database_file

ADA = Actor(Identity.user("ada"), Channel.CLI)
KIND = "test-work"
Work = Callable[[OperationControl, Any], Mapping[str, Any]]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store.open(Settings(data_dir=create_database_file(tmp_path / "data")), load_catalog("aizen"))
    yield store
    store.close()


@pytest.fixture
def runner_for(store: Store) -> Iterator[Callable[..., OperationRunner]]:
    """Return a function that makes a runner, like that of another process, whose only kind does the given work."""
    runners: list[OperationRunner] = []

    def make(work: Work, *, is_sealed: Callable[[], bool] = lambda: False, **functions: Any) -> OperationRunner:
        kinds = [OperationKind(KIND, work, **functions)]
        runners.append(OperationRunner(store, kinds, lambda handler: None, is_sealed))
        return runners[-1]

    yield make
    for runner in runners:
        runner.close()
