"""The lock that allows one service instance per embedded database."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from aizen_hub.catalogs.catalog import Catalog
from aizen_hub.settings import Settings
from aizen_hub.store.instance_lock import InstanceLock, InstanceRunningError
from aizen_hub.store.sql_store import Store
from tests.store.store_rows import TESTER

HOLDER = """
import sys, pathlib
from aizen_hub.store.instance_lock import InstanceLock
InstanceLock(pathlib.Path(sys.argv[1])).acquire()
print("held", flush=True)
sys.stdin.read()
"""


def test_a_second_instance_is_refused_with_the_pid_of_the_first(tmp_path: Path) -> None:
    path = tmp_path / "aizen.sqlite.lock"
    process = subprocess.Popen([sys.executable, "-c", HOLDER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == b"held\n"
        for _ in range(3):
            with pytest.raises(InstanceRunningError, match=rf"process {process.pid}\b"):
                InstanceLock(path).acquire()
    finally:
        process.kill()  # the lock is released however the process ends
        process.communicate(timeout=10)
    with InstanceLock(path) as lock:
        assert path.read_text() == f"{os.getpid()}\n"
        assert path.stat().st_mode & 0o777 == 0o600
        lock.acquire()  # acquiring a held lock again is allowed
        with pytest.raises(InstanceRunningError):
            InstanceLock(path).acquire()
    InstanceLock(path).acquire()


def test_operator_commands_open_the_database_of_a_running_service(tmp_path: Path, catalog: Catalog) -> None:
    settings = Settings(data_dir=tmp_path)
    lock = InstanceLock.for_settings(settings)
    assert lock is not None
    with lock:
        service, operator = Store.open(settings, catalog), Store.open(settings, catalog)
        for store in (service, operator, service):
            with store.write(TESTER) as tx:
                tx.audit("present")
        service.close()
        operator.close()


def test_a_shared_database_has_no_lock(tmp_path: Path) -> None:
    assert InstanceLock.for_settings(Settings(data_dir=tmp_path, database="postgresql://u@h/d")) is None


def test_a_symbolic_link_as_lock_file_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "victim").write_text("precious")
    (tmp_path / "lock").symlink_to(tmp_path / "victim")
    with pytest.raises(OSError, match="symbolic"):
        InstanceLock(tmp_path / "lock").acquire()
    assert (tmp_path / "victim").read_text() == "precious"
