"""Two processes of the service write checkpoints to one table, each with two database roles that can only append."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest
from click.testing import CliRunner

from aizen_hub.cli.main import cli
from aizen_hub.problems import Problem
from aizen_hub.store import migrate
from tests.faults.installation import Installation, create_installation, run_installation
from tests.faults.service_process import Service
from tests.fixtures.databases.checkpoint_database import CheckpointDatabase, checkpoint_database
from tests.fixtures.databases.postgres import Server, fresh_database
from tests.fixtures.timing import wait_until

pytestmark = [pytest.mark.needs("postgres"), pytest.mark.slow]

SERVICE_ROLE, OWNER = "aizen_appends", "aizen_owns"
SECONDS = 60.0


@pytest.fixture
def checkpoints(fast_postgres_server: Server) -> Iterator[CheckpointDatabase]:
    with checkpoint_database(fast_postgres_server) as database:
        yield database


@pytest.fixture
def pair(tmp_path: Path, fast_postgres_server: Server, checkpoints: CheckpointDatabase) -> Iterator[Installation]:
    """Two replicas on a database that their role does not own, and whose owner is no superuser."""
    with fresh_database(fast_postgres_server) as admin_url, psycopg.connect(admin_url, autocommit=True) as conn:
        for role in (SERVICE_ROLE, OWNER):
            if not conn.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (role,)).fetchone():
                conn.execute(f"CREATE ROLE {role} LOGIN".encode())
        conn.execute(f"ALTER DATABASE {admin_url.rpartition('/')[2]} OWNER TO {OWNER}".encode())
        owner_url = as_role(admin_url, OWNER)
        secrets = create_installation(tmp_path, owner_url)
        migrate.upgrade(owner_url, SERVICE_ROLE)
        url = as_role(admin_url, SERVICE_ROLE)
        with run_installation(
            tmp_path, secrets, url, replicas=2, checkpoint_database=checkpoints.url, service={"deadline_seconds": 20.0}
        ) as installation:
            yield installation


def as_role(url: str, role: str) -> str:
    parts = urlsplit(url)
    return parts._replace(netloc=f"{role}@{parts.netloc.rpartition('@')[2]}").geturl()


def run(installation: Installation, *arguments: str) -> tuple[object, str]:
    """Return what a command returned, or its error, and what it wrote."""
    done = CliRunner().invoke(cli, [*arguments, "-c", str(installation.service.config)], standalone_mode=False)
    return done.exception or done.return_value, done.output


def examine(installation: Installation) -> list[dict[str, str]]:
    """Return the findings of the doctor."""
    done = CliRunner().invoke(cli, ["doctor", "-o", "json", "-c", str(installation.service.config)])
    findings: list[dict[str, str]] = json.JSONDecoder().raw_decode(done.stdout)[0]  # what follows counts them
    return findings


def health(service: Service) -> tuple[int | None, str]:
    answer = service._get("/readyz", 8)
    return (None, "") if answer is None else (answer[0], str(json.loads(answer[1]).get("detail", "")))


def wait_sealed(installation: Installation, reason: str) -> None:
    for service in installation.services:
        wait_until(lambda service=service: reason in health(service)[1], SECONDS)
        assert health(service)[0] == 503


@pytest.mark.proves("R96", "R97", "T-40", "T-39", "R7")
def test_two_replicas_sign_into_one_table(pair: Installation, checkpoints: CheckpointDatabase) -> None:
    wait_until(lambda: len(checkpoints.lines()) >= 2, SECONDS)
    numbers = [json.loads(line)["content"]["number"] for line in checkpoints.lines()]
    assert numbers == list(range(1, len(numbers) + 1))
    assert not pair.settings.checkpoint_path.exists(), "no file and so no volume is needed"
    status, text = run(pair, "audit", "verify")
    assert (status, "no modification found" in text) == (0, True), text
    found = {(check["check"], check["level"]) for check in examine(pair)}
    assert {("privileges", "ok"), ("rollback", "ok"), ("checkpoint-server", "warn")} <= found
    assert ("checkpoint-privileges", "ok") in found
    assert ("checkpoint-privileges", "fail") not in found

    # Who owns the audit cuts its end off, and cannot change what proves it.
    for role in (OWNER, SERVICE_ROLE):
        with pytest.raises(psycopg.OperationalError, match="does not have CONNECT privilege"):
            psycopg.connect(as_role(checkpoints.url, role))
    of_audit = as_role(pair.settings.database_url, "aizen_checkpoints")
    for statement in ("SELECT 1 FROM audit", "DELETE FROM audit", "SELECT 1 FROM users"):
        with psycopg.connect(of_audit) as conn, pytest.raises(psycopg.errors.InsufficientPrivilege):
            conn.execute(statement.encode())
    script = Path("deploy/postgresql/checkpoints.sql").read_bytes()
    with (
        psycopg.connect(as_role(pair.settings.database_url, OWNER)) as conn,
        pytest.raises(psycopg.errors.RaiseException, match="is the database of the audit"),
    ):
        conn.execute(script)
    for service in pair.services:
        service.stop()
    with psycopg.connect(as_role(pair.settings.database_url, OWNER), autocommit=True) as conn:
        last = "SELECT writer, max(number) FROM audit GROUP BY writer"
        conn.execute(f"DELETE FROM audit WHERE (writer, number) IN ({last})".encode())
    status, text = run(pair, "audit", "verify")
    assert (status, "truncated" in text) == (1, True), text
    for service in pair.services:
        service.start(wait=False)
    wait_sealed(pair, "older than the last checkpoint")

    # An operator accepts the loss: that is signed in the same table, and both replicas go on.
    status, text = run(pair, "db", "accept-restore", "--yes", "--reason", "rows were cut off")
    assert status == 0, text
    for service in pair.services:
        wait_until(service.ready, SECONDS)
    assert "void_from" in "".join(checkpoints.lines())


@pytest.mark.proves("R7", "R96", "T-40")
def test_without_the_table_no_start_decides(pair: Installation, checkpoints: CheckpointDatabase) -> None:
    wait_until(lambda: len(checkpoints.lines()) >= 2, SECONDS)
    first = pair.service
    first.stop()
    checkpoints.change("ALTER SCHEMA aizen_checkpoints RENAME TO elsewhere")
    first.start(wait=False)
    wait_until(lambda: "its checkpoint database cannot be read: it has no table" in health(first)[1], SECONDS)
    (found,) = [check for check in examine(pair) if check["check"] == "checkpoint-database"]
    assert (found["level"], "checkpoints.sql" in found["remedy"]) == ("fail", True)
    assert isinstance(run(pair, "audit", "verify")[0], Problem)
    checkpoints.change("ALTER SCHEMA elsewhere RENAME TO aizen_checkpoints")
    wait_until(first.ready, SECONDS)
    assert run(pair, "audit", "verify")[0] == 0
