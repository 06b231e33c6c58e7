"""Two replicas on PostgreSQL behind the HAProxy of docs/separate-service.md, with many clients that ask all the time.

The tests share the replicas and run in the order of the file: the last one upgrades the database.
"""

from __future__ import annotations

import http.client
import json
import shutil
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest

from tests.drill.next_version import VARIABLE
from tests.faults.background_load import under_load
from tests.faults.installation import (
    ADMIN,
    ADMINS,
    EXECUTOR,
    PEOPLE,
    PROJECTS,
    READER,
    Installation,
    create_installation,
    run_installation,
)
from tests.faults.real_clients import RealClients
from tests.faults.revocation_storm import run_revocation_storm
from tests.faults.service_process import ROOT, Service
from tests.faults.steady_load import SteadyLoad
from tests.fixtures.databases.next_schema import write_next_migrations
from tests.fixtures.databases.postgres import Server, fresh_database
from tests.fixtures.guide import Guide
from tests.fixtures.hub import start_process
from tests.fixtures.network.haproxy import running_haproxy
from tests.fixtures.network.ports import free_port

pytestmark = [pytest.mark.faults, pytest.mark.needs("postgres", "haproxy"), pytest.mark.slow]

STEADY, STORM, KILLS = "steady", "storm", "kills"
NEXT_VERSION = ("tests.drill.next_version", "serve")
STORM_SECONDS, FEWEST = 5.0, 60
DRAIN_SECONDS = 8.0
"""Longer than the default, since this machine may be busy when HAProxy asks."""
WAIT_SECONDS = 120.0


@pytest.fixture(scope="module")
def added_port() -> int:
    """Return the port of the replica that is added, which HAProxy knows from the start."""
    return free_port()


@pytest.fixture(scope="module")
def balanced(
    postgres_server: Server, tmp_path_factory: pytest.TempPathFactory, added_port: int
) -> Iterator[Installation]:
    """Two replicas that drain before they end, and the load balancer."""
    folder = tmp_path_factory.mktemp("balanced")
    with fresh_database(postgres_server) as url:
        secrets = create_installation(folder, url, projects=(*PROJECTS, STEADY, STORM, KILLS))
        # Of two replicas only one may be asked at times: a busy machine must not look like an outage.
        service = {"drain_seconds": DRAIN_SECONDS, "deadline_seconds": 30}
        shared = str(folder / "checkpoints.jsonl")
        with run_installation(folder, secrets, url, replicas=2, service=service, checkpoint_file=shared) as here:
            here.front = free_port()
            ports = [*(one.port for one in here.services), added_port]
            with running_haproxy(folder, here.front, ports) as balancer:
                wait_until(lambda: Service(folder / "front.yaml", here.front or 0).ready())
                yield here
                assert balancer.poll() is None


def wait_until(is_so: Callable[[], bool]) -> None:
    end = time.monotonic() + WAIT_SECONDS
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.mark.proves("R48", "R109", "I1", "I2", "I3", "I4", "I7", "I8", "T-07", "T-54")
def test_what_one_replica_revokes_the_other_denies_under_load(balanced: Installation) -> None:
    """A storm of revocations between the replicas, while other clients ask and change roles through the balancer."""
    balanced.start_history()
    revocations: list[int] = []

    def revoke() -> None:
        revocations.append(run_revocation_storm(balanced, 300, STORM_SECONDS, minimum=FEWEST, project=STORM))

    with under_load(balanced, 21, balanced=True):
        storm = threading.Thread(target=revoke)
        storm.start()
        storm.join(WAIT_SECONDS)
    assert revocations, "a command was allowed after its revocation, or the storm did not end"
    assert revocations[0] >= FEWEST
    assert balanced.violations() == []
    print(f"{revocations[0]} revocations among {len(balanced.recorder.ops())} requests")


@pytest.mark.proves("R102", "R103", "R105", "I4", "I8", "T-45")
def test_what_a_killed_replica_had_is_carried_out_once(balanced: Installation) -> None:
    """Hub, kernels and command line send it again by themselves, and the other replica answers."""
    clients = RealClients(balanced, KILLS, ADMINS[0])
    first, _ = balanced.services
    wait_until_balanced(balanced)
    with ThreadPoolExecutor(3 * len(PEOPLE)) as pool:
        first.send_signal(signal.SIGSTOP)
        sessions = [
            pool.submit(clients.open_session_as_hub, user, f"{KILLS}-{user}", number)
            for number, user in enumerate(PEOPLE)
        ]
        changes = [pool.submit(clients.change_by_command_line, user) for user in PEOPLE]
        changes += [pool.submit(clients.change_by_kernel, user) for user in PEOPLE]
        wait_until(lambda: sum(one.done() for one in (*sessions, *changes)) >= len(PEOPLE))
        assert not all(one.done() for one in (*sessions, *changes)), "nothing was under way at the replica"
        first.kill()
        assert all(one.result(WAIT_SECONDS) for one in changes)
        opened = {one.result(WAIT_SECONDS) for one in sessions}
    granted = dict.fromkeys([(f"user:{user}", role) for user in PEOPLE for role in (EXECUTOR, ADMIN)], 1)
    assert recorded_roles(balanced, "role.granted") == granted
    assert recorded_sessions(balanced) == opened

    # Now it ends after the commit, before the answer: the first attempt had its effect.
    for change in (clients.change_by_command_line, clients.change_by_kernel):
        before = sum(recorded_roles(balanced, "role.granted", "role.revoked").values())
        first.start(kill_at="before-answer")
        count, until = 0, time.monotonic() + WAIT_SECONDS
        while first.alive:
            assert time.monotonic() < until, "the balancer sends this replica nothing"
            turn, place = divmod(count, len(PEOPLE))
            assert change(PEOPLE[place], revoke=turn % 2 == 0), "another attempt found it done already"
            count += 1
        assert sum(recorded_roles(balanced, "role.granted", "role.revoked").values()) == before + count
    first.start()


def wait_until_balanced(here: Installation, replicas: int = 2) -> None:
    """Wait until the load balancer sends requests to so many replicas."""
    seen: set[str | None] = set()

    def is_so() -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", here.front or 0, timeout=WAIT_SECONDS)
        connection.request("GET", "/livez")
        answer = connection.getresponse()
        answer.read()
        connection.close()
        if answer.status == http.client.OK:
            seen.add(answer.getheader("X-Aizen-Instance"))
        return len(seen) == replicas

    wait_until(is_so)


def recorded_roles(here: Installation, *events: str) -> Counter[tuple[str, str]]:
    """Return how often the audit has each change of the clients in the project of this test, by its target and role."""
    assert here.database is not None
    with psycopg.connect(here.database) as conn:
        rows = conn.execute(
            "SELECT convert_from(body, 'UTF8') FROM audit WHERE event = ANY(%s) AND project = %s", (list(events), KILLS)
        ).fetchall()
    bodies = [json.loads(text) for (text,) in rows]
    changes = Counter((body["details"]["identity"], body["details"]["role"]) for body in bodies)
    return Counter({key: count for key, count in changes.items() if key[0][5:] in PEOPLE and key[1] != READER})


def recorded_sessions(here: Installation) -> set[str]:
    """Return the sessions that were opened in that project by the hub's client; each was opened once."""
    assert here.database is not None
    with psycopg.connect(here.database) as conn:
        rows = conn.execute(
            "SELECT id, ended, server FROM sessions WHERE project = %s AND server LIKE %s", (KILLS, f"{KILLS}-%")
        ).fetchall()
    assert all(ended is None for _, ended, _ in rows), rows
    assert len({server for *_, server in rows}) == len(rows)
    return {session for session, *_ in rows}


@pytest.mark.proves("R102", "R109", "I8")
def test_the_runbooks_of_a_replica(balanced: Installation, tmp_path: Path, added_port: int) -> None:
    """A third one is added and removed as docs/how-to/replicas.md says; the balancer has its line already."""
    guide = Guide(Path("docs/how-to/replicas.md"), tmp_path)
    line, files = (textwrap.dedent(block) for block in guide.blocks("text"))
    balancer = (balanced.folder / "haproxy.cfg").read_text(encoding="ascii")
    assert line.replace("10.0.0.13:9095", f"127.0.0.1:{added_port}").strip() in balancer
    check, serve = guide.commands()
    guide.environ |= {"AIZEN_SERVICE__PORT": str(added_port), "HOME": str(tmp_path)}
    copy_files(balanced, tmp_path, files.split())
    assert guide.run(check).strip() == "0001"
    with SteadyLoad(balanced, STEADY) as steady:
        process = start_process(serve, tmp_path, guide.environ)
        try:
            added = Service(tmp_path / "aizen.yaml", added_port)
            wait_until(lambda: added.ready() or process.poll() is not None)
            assert process.poll() is None, (tmp_path / "hub.log").read_text(encoding="utf-8")
            wait_until_balanced(balanced, 3)
            steady.wait_for_more(200)
            process.terminate()
            assert process.wait(WAIT_SECONDS) == 0
            steady.wait_for_more(200)
        finally:
            process.kill()
            process.wait()
    assert steady.failures == []


def copy_files(here: Installation, folder: Path, names: list[str]) -> None:
    """Copy what the page lists, from where this installation has it; it has no hub, and so no token of it."""
    own = {"aizen.yaml": here.service.config} | {
        f"aizen-data/{path.name}": path for path in (here.settings.hub_secret_path, here.settings.key_encryption_path)
    }
    assert set(names) == {*own, "aizen-data/service-api-token"}
    # The files of this installation are in a folder of another name.
    (folder / here.settings.data_dir.name).mkdir(mode=0o700)
    for path in own.values():
        is_secret = path.parent == here.settings.data_dir
        target = folder / here.settings.data_dir.name / path.name if is_secret else folder / "aizen.yaml"
        shutil.copy2(path, target)


@pytest.mark.proves("R5", "R102", "R109", "I8")
def test_a_rolling_restart_as_the_next_version_fails_no_request(
    balanced: Installation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The schema changes under the load; then one replica after the other becomes one of the next version."""
    write_next_migrations(tmp_path / "migrations", serves_previous=True)
    monkeypatch.setenv(VARIABLE, str(tmp_path / "migrations"))
    assert balanced.database is not None
    with SteadyLoad(balanced, STEADY) as steady:
        steady.wait_for_more(400)
        upgrade = [
            sys.executable,
            "-m",
            "tests.drill.next_version",
            "db",
            "upgrade",
            "-c",
            str(balanced.service.config),
        ]
        done = subprocess.run(upgrade, cwd=ROOT, capture_output=True, text=True, timeout=WAIT_SECONDS, check=False)
        assert (done.returncode, done.stdout) == (0, "0002\n"), done.stderr
        steady.wait_for_more(400)
        for service in balanced.services:
            service.stop(WAIT_SECONDS)
            service.module = NEXT_VERSION
            steady.wait_for_more(200)
            service.start()
            steady.wait_for_more(200)
    print(f"{steady.requests} requests, {dict(steady.counts)}")
    assert steady.failures == []
    with psycopg.connect(balanced.database) as conn:
        assert conn.execute("SELECT version_num FROM alembic_version").fetchone() == ("0002",)
    run_next_version("audit", "verify", "-c", str(balanced.service.config))


def run_next_version(*arguments: str) -> str:
    command = [sys.executable, "-m", "tests.drill.next_version", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=WAIT_SECONDS, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
