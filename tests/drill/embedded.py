"""The drill of one service on SQLite: loss of the database, loss of the key, and an upgrade."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from aizen_hub.audit.checkpoints.checkpoint_file import CheckpointFile
from aizen_hub.demo.step_counter import expect
from aizen_hub.store.sqlite_backup import check_backup
from tests.drill.load import Load, let_execute
from tests.drill.operator import Operator, start_sealed, wait_ready, wait_sealed
from tests.drill.timed_steps import TimedSteps
from tests.faults.installation import Installation, create_installation, run_installation
from tests.faults.recording_client import Client

CLIENTS = 8
_NEXT_VERSION = ("tests.drill.next_version", "serve")


def run_drill(folder: Path, steps: TimedSteps) -> None:
    steps.heading(f"one service on SQLite, {CLIENTS} clients")
    secrets = create_installation(folder)
    with run_installation(folder, secrets) as installation:
        operator = Operator.of(installation.service, folder)
        let_execute(installation)
        _lose_the_database(folder, installation, operator, steps)
        _lose_the_key(folder, installation, operator, steps)
        _upgrade(folder, installation, operator, steps)


@contextmanager
def _load(installation: Installation) -> Iterator[Load]:
    with Load(installation, CLIENTS) as load:
        load.wait("allowed")
        load.reset()
        yield load


def _lose_the_database(folder: Path, installation: Installation, operator: Operator, steps: TimedSteps) -> None:
    service, backup = installation.service, folder / "backup"
    database = folder / "data" / "aizen.sqlite"
    with _load(installation) as load:
        with steps.step("back up while the clients work"):
            operator.run("db", "backup", str(backup))
            load.wait("allowed")
            expect(load.counts["unanswered"] == 0, f"requests were not answered: {dict(load.counts)}")
            expect(backup.stat().st_mode & 0o777 == 0o600, "others can read the backup")
            revision = check_backup(backup)
            steps.note(f"revision {revision}")
            steps.note(f"slowest answer {load.longest * 1000:.0f} ms")
        with steps.step("revoke a role and sign it, after the backup"):
            client = Client(installation, "drill")
            op = client.revoke("u0", "p0")
            expect(op.result == "done", f"the revocation was {op.result}")
            client.close()
            _wait_signed(folder, revision)
        with steps.step("delete the database under the service: it stops deciding"):
            for file in database.parent.glob("aizen.sqlite*"):
                if file.suffix != ".lock":
                    file.unlink()
            wait_sealed(service, "was deleted while the service runs")
            load.reset()
            load.wait("unanswered", 50)
            expect(load.counts["allowed"] == 0, f"it still decided: {dict(load.counts)}")
    with steps.step("restore the backup, and start: the service knows that it is older"):
        service.stop()
        text = operator.run("db", "restore", str(backup))
        expect("older than the last checkpoint" in text, text)
        start_sealed(service, "accept-restore")
    with steps.step("accept the restored database: the service decides without a restart"):
        operator.run("db", "accept-restore", "--yes", "--reason", "drill")
        steps.note(f"unsealed after {wait_ready(service):.1f} s")
    _decide_and_verify(installation, operator, steps)


def _lose_the_key(folder: Path, installation: Installation, operator: Operator, steps: TimedSteps) -> None:
    service, key = installation.service, folder / "data" / "key-encryption-key"
    with steps.step("lose the key-encryption key: the service names it"):
        service.stop()
        key.unlink()
        start_sealed(service, "the key-encryption file does not exist")
        expect("key-encryption file" in operator.run("keys", "list", status=7), "`keys list` does not name it")
    with steps.step("recover the keys: the service decides without a restart"):
        operator.run("keys", "recover", "--yes", "--reason", "drill")
        steps.note(f"unsealed after {wait_ready(service):.1f} s")
    _decide_and_verify(installation, operator, steps)


def _upgrade(folder: Path, installation: Installation, operator: Operator, steps: TimedSteps) -> None:
    service = installation.service
    with _load(installation) as load, steps.step("an upgrade beside the running service is refused"):
        text = operator.run("db", "upgrade", status=1, next_version=True)
        expect("stop it" in text, text)
        load.reset()
        load.wait("allowed")
        expect(load.counts["unanswered"] == 0, f"requests were not answered: {dict(load.counts)}")
    with steps.step("stop, back up and upgrade: the former version does not start any more"):
        service.stop()
        operator.run("db", "backup", str(folder / "before-upgrade"))
        operator.run("db", "upgrade", next_version=True)
        service.start(wait=False)
        expect(service.wait_dead(), "the former version runs on the upgraded schema")
    with steps.step("start the next version"):
        service.module = _NEXT_VERSION
        service.start()
    _decide_and_verify(installation, operator, steps, next_version=True)


def _decide_and_verify(
    installation: Installation, operator: Operator, steps: TimedSteps, *, next_version: bool = False
) -> None:
    with steps.step("the clients decide again"), _load(installation) as load:
        load.wait("allowed")
        expect(load.counts["unanswered"] == 0, f"requests were not answered: {dict(load.counts)}")
    with steps.step("the audit verifies"):
        steps.note(operator.verify_audit(next_version=next_version))


def _wait_signed(folder: Path, revision: int) -> None:
    """Wait until a checkpoint signs more than a revision."""
    file, end = CheckpointFile(folder / "data" / "audit-checkpoints.jsonl"), time.monotonic() + 60
    while not any(checkpoint.revision > revision for checkpoint in file.read(lambda *_: True)[0]):
        expect(time.monotonic() < end, "no checkpoint was signed within a minute")
        time.sleep(0.2)
