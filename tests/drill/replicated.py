"""The drill of two replicas on PostgreSQL: a rolling restart, and an upgrade under the running replicas."""

from __future__ import annotations

from pathlib import Path

from aizen_hub.demo.step_counter import expect
from tests.drill.load import Load, let_execute, open_session
from tests.drill.operator import Operator, wait_sealed
from tests.drill.timed_steps import TimedSteps
from tests.faults.installation import Installation, create_installation, run_installation
from tests.faults.recording_client import Client
from tests.fixtures.databases.postgres import fresh_database, running_server

CLIENTS = 16
_NEXT_VERSION = ("tests.drill.next_version", "serve")


def run_drill(folder: Path, steps: TimedSteps) -> None:
    steps.heading(f"two replicas on PostgreSQL, {CLIENTS} clients")
    with running_server() as server, fresh_database(server) as url:
        secrets = create_installation(folder, url)
        with run_installation(folder, secrets, url, replicas=2) as installation:
            operator = Operator.of(installation.service, folder)
            let_execute(installation)
            with Load(installation, CLIENTS) as load:
                load.wait("allowed", 1_000)
                _restart(installation, load, steps)
                with steps.step("a revocation by one replica is in effect on the other"):
                    _revoke(installation)
            _upgrade(folder, installation, operator, steps)


def _restart(installation: Installation, load: Load, steps: TimedSteps) -> None:
    with steps.step("restart one replica after the other: no request is lost"):
        load.reset()
        for service in installation.services:
            service.stop()
            service.start()
            load.wait("allowed", load.counts["allowed"] + 500)
        expect(load.counts["unanswered"] == 0, f"requests were not answered: {dict(load.counts)}")
        expect(load.counts["denied"] == 0, f"requests were denied: {dict(load.counts)}")
        steps.note(f"{load.counts['allowed']} decisions, {load.counts['retried']} of them by the other replica")
        steps.note(f"slowest answer {load.longest * 1000:.0f} ms")


def _revoke(installation: Installation) -> None:
    first, second = Client(installation, "first", 0), Client(installation, "second", 1)
    session = open_session(second, 1)
    assert session is not None, "no session could be opened"
    expect(second.check(session).result == "allowed", "the role has no effect")
    expect(first.revoke(session.user, session.project).result == "done", "the revocation failed")
    expect(second.check(session).result == "denied", "the other replica still allows it")
    expect(first.grant(session.user, session.project).result == "done", "the role could not be given back")
    first.close()
    second.close()


def _upgrade(folder: Path, installation: Installation, operator: Operator, steps: TimedSteps) -> None:
    with steps.step("upgrade under the running replicas: both stop deciding"):
        operator.run("db", "backup", str(folder / "before-upgrade"))
        operator.run("db", "upgrade", next_version=True)
        for service in installation.services:
            wait_sealed(service, "was upgraded to the schema `0002`")
    with steps.step("restart both as the next version: the clients decide"):
        for service in installation.services:
            service.stop()
            service.module = _NEXT_VERSION
            service.start()
        with Load(installation, CLIENTS) as load:
            load.wait("allowed")
    with steps.step("the audit verifies"):
        for service in installation.services:
            service.stop()
        steps.note(operator.verify_audit(next_version=True))
