"""The database fails over to a standby: what was acknowledged is there, or the loss is noticed (T-44)."""

from __future__ import annotations

import http.client
import json
import shutil
import signal
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from click.testing import CliRunner
from sqlalchemy import create_engine, select
from sqlalchemy.engine import make_url

from aizen_hub.cli.main import cli
from aizen_hub.store import tables
from tests.faults.background_load import under_load
from tests.faults.history import Op
from tests.faults.installation import ADMINS, COMMAND, PROJECTS, Installation, create_installation, run_installation
from tests.faults.recording_client import Client, Session
from tests.faults.replicated_pair import ReplicatedPair, running_pair
from tests.faults.service_process import START_SECONDS, Service
from tests.fixtures.databases.postgres import Server, running_server
from tests.fixtures.network.haproxy import running_haproxy
from tests.fixtures.network.ports import free_port

pytestmark = [pytest.mark.faults, pytest.mark.needs("postgres")]

Begin = Callable[..., AbstractContextManager[tuple[Installation, ReplicatedPair]]]
WORKS = PROJECTS[0]
ANSWER_SECONDS = 30.0


@pytest.fixture(scope="module")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, Path, tuple[str, str]]]:
    """The files of a stopped server that holds the store of an installation."""
    folder = tmp_path_factory.mktemp("sqlite_template")
    with running_server() as server:
        secrets = create_installation(folder, server.url())
        server.kill(signal.SIGINT)
        yield server, folder, secrets


@pytest.fixture
def begin(sqlite_template: tuple[Server, Path, tuple[str, str]], tmp_path: Path) -> Begin:
    """Start two replicas of the service on a primary with its standby."""
    server, folder, secrets = sqlite_template

    @contextmanager
    def start(*, synchronous: bool, both: bool = False) -> Iterator[tuple[Installation, ReplicatedPair]]:
        shutil.copytree(folder, tmp_path / "installation")
        with running_pair(server.folder, synchronous=synchronous) as pair:
            url = make_url(server.url()).set(port=pair.address.port).render_as_string()
            url = pair.both_addresses if both else url
            with run_installation(tmp_path / "installation", secrets, url, replicas=2) as here:
                yield here, pair

    return start


@pytest.mark.proves("T-44", "T-40", "R7")
def test_a_lost_revocation_is_noticed(begin: Begin) -> None:
    """The standby misses an acknowledged revocation: nothing is decided until an operator accepts the loss."""
    with begin(synchronous=False) as (here, pair):
        first, second = here.services
        grantor, decider = Client(here, "grantor"), Client(here, "decider")
        assert "waits for none of them" in _doctor(first.config)["warn"]
        session = _executor(grantor, decider, "u0")
        pair.caught_up()
        with pair.cut_off():
            taken = grantor.revoke("u0", WORKS)
            assert taken.result == "done"
            denied = _asked(decider, session)
            assert (denied.result, denied.revision) == ("denied", taken.revision)
            second.stop()  # signs what was recorded until now
            pair.fail_over()

        assert here.read_state().revision < taken.revision, "the standby has it, so nothing was lost"
        assert ("u0", WORKS, "PROJECT_EXECUTOR") in here.read_state().held
        # A replica that kept running knows more than the database; a started one finds more in the checkpoints.
        assert decider.check(session).result == "unavailable"
        second.start(wait=False)
        for service in (first, second):
            _until(lambda service=service: _sealed(service.port))
        assert Client(here, "decider", 1).check(session).result == "unavailable"
        assert grantor.grant("u1", WORKS, key=False).result == "unsure"
        assert here.read_state().revision < taken.revision, "nothing is written to it"

        done = _operator("db", "accept-restore", "-c", str(first.config), "--yes", "--reason", "failover")
        assert "was signed" in done, done
        for service in (first, second):
            service.wait_ready()
        assert here.read_state().revision > taken.revision, "no revision is used twice"
        for replica in (0, 1):
            client = Client(here, f"after-{replica}", replica)
            assert _asked(client, session).result == "refused", "the session ended with the loss"
            again = _opened(client, "u0", f"again-{replica}")
            # What was lost is lost: the operator was told to look through it.
            assert _asked(client, again).result == "allowed"
        assert grantor.revoke("u0", WORKS).result == "done"
        for replica in (0, 1):
            assert _asked(Client(here, f"last-{replica}", replica), again).result == "denied"
        engine = create_engine(make_url(here.settings.database_url).set(drivername="postgresql+psycopg"))
        with engine.connect() as conn:
            events = set(conn.scalars(select(tables.audit.c.event)))
        engine.dispose()
        assert {"database.accepted", "session.ended", "key.withdrawn"} <= events
        _operator("audit", "verify", "-c", str(first.config))


@pytest.mark.proves("T-44", "R48", "I3")
def test_no_replica_continues_from_lost_changes(begin: Begin) -> None:
    """A replica stands still while the revision that it saw last is lost, and is given to another change."""
    with begin(synchronous=False) as (here, pair):
        first, second = here.services
        grantor, decider = Client(here, "grantor", 1), Client(here, "decider", 0)
        sessions = [_executor(grantor, decider, name) for name in ("u0", "u1")]
        pair.caught_up()
        with pair.cut_off():
            lost = grantor.grant("u2", WORKS)
            assert lost.result == "done"
            assert _asked(decider, sessions[0]).revision == lost.revision
            first.send_signal(signal.SIGSTOP)
            second.kill()  # no checkpoint tells of what comes next
            pair.fail_over()
        second.start()
        taken = Client(here, "later-grantor", 1).revoke("u0", WORKS)
        assert (taken.result, taken.revision) == ("done", lost.revision), "the number is used twice"
        first.send_signal(signal.SIGCONT)
        assert _asked(decider, sessions[0]).result == "denied"
        assert _asked(decider, sessions[1]).result == "allowed"


@pytest.mark.proves("T-44", "R48", "R102", "I1", "I2", "I3", "I7", "I8", "I10")
def test_a_synchronous_standby_has_all_that_was_acknowledged(begin: Begin) -> None:
    with begin(synchronous=True) as (here, pair):
        grantor, decider = Client(here, "grantor"), Client(here, "decider", 1)
        session = _executor(grantor, decider, "u0")
        assert "waits for a standby" in _doctor(here.service.config)["ok"]
        taken = grantor.revoke("u0", WORKS)
        assert taken.result == "done"
        with under_load(here, 11):
            time.sleep(1)
            with here.recorder.fault("failover"):
                pair.fail_over()
            time.sleep(2)
        assert here.read_state().revision >= taken.revision
        assert here.violations() == []
        for replica in (0, 1):
            last = Client(here, f"last-{replica}", replica)
            session = _opened(last, "u0", f"last-{replica}")
            grantor.revoke("u0", WORKS)
            assert _asked(last, session).result == "denied"
        _operator("audit", "verify", "-c", str(here.service.config))


@dataclass(frozen=True)
class Seen:
    """The answer to the question for one decision."""

    begun: float
    ended: float
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def is_of_a_replica(self) -> bool:
        return "x-aizen-instance" in self.headers

    def explains_itself(self) -> bool:
        """Whether a client can show why it was refused, and knows when to ask again."""
        if self.status != http.client.SERVICE_UNAVAILABLE:
            return self.status == http.client.OK
        problem = json.loads(self.body)
        has_words = all(isinstance(problem.get(name), str) for name in ("title", "detail", "remedy"))
        is_document = self.headers["content-type"].startswith("application/problem+json")
        return is_document and has_words and int(self.headers["retry-after"]) >= 1


def ask(port: int, session: Session) -> Seen:
    """Ask for a decision, on a new connection."""
    headers = {"Authorization": f"Bearer {session.token}", "Content-Type": "application/json"}
    begun = time.monotonic()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("POST", "/api/v1/decisions", json.dumps({"command": COMMAND}), headers)
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return Seen(
        begun, time.monotonic(), answer.status, {name.lower(): value for name, value in answer.getheaders()}, body
    )


@contextmanager
def watched(front: int, session: Session) -> Iterator[list[Seen]]:
    """Ask the load balancer every tenth of a second."""
    seen: list[Seen] = []
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(0.1):
            seen.append(ask(front, session))

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield seen
    finally:
        ended.set()
        thread.join(90)


@pytest.mark.needs("haproxy")
@pytest.mark.proves("T-44", "R79", "R102", "R105", "I1", "I2", "I8", "I10")
def test_what_clients_of_a_load_balancer_see(begin: Begin, tmp_path: Path) -> None:
    """The services have the addresses of both servers; nothing has to be done after the standby took over."""
    with begin(synchronous=True, both=True) as (here, pair):
        here.front = free_port()
        with running_haproxy(tmp_path, here.front, [one.port for one in here.services]):
            _until(Service(tmp_path / "front.yaml", here.front).ready)
            # The load takes nothing from an admin of the project.
            session = _opened(Client(here, "watcher", None), ADMINS[0], "watched")
            with watched(here.front, session) as seen, under_load(here, 22, balanced=True, check_after=False):
                _until(lambda: any(one.status == http.client.OK for one in seen))
                with here.recorder.fault("failover"):
                    pair.kill_primary()
                    killed = time.monotonic()
                    of_replicas = [ask(service.port, session) for service in here.services]
                    _until(lambda: seen[-1].status != http.client.OK and not seen[-1].is_of_a_replica)
                    promoted = time.monotonic()
                    pair.promote_standby()
                    _until(lambda: any(one.begun > promoted and one.status == http.client.OK for one in seen))
                time.sleep(1)
            assert all(one.is_of_a_replica and one.status != http.client.OK for one in of_replicas), of_replicas
            assert [one for one in (*seen, *of_replicas) if not one.explains_itself()] == []
            assert not [one for one in seen if killed < one.begun < promoted and one.status == http.client.OK]
            assert here.violations(recovers=False) == []
            back = min(one.ended for one in seen if one.begun > promoted and one.status == http.client.OK)
            refused = sum(one.status != http.client.OK for one in seen)
            print(f"{refused} of {len(seen)} were refused; decided {back - promoted:.1f} s after the promotion began")
        _operator("audit", "verify", "-c", str(here.service.config))
        _operator("db", "backup", str(tmp_path / "backup"), "-c", str(here.service.config))
        assert (tmp_path / "backup").stat().st_size > 0, "it finds the server, too"


@pytest.mark.proves("T-44", "R79")
def test_without_its_synchronous_standby_nothing_is_acknowledged(begin: Begin) -> None:
    with begin(synchronous=True) as (here, pair):
        grantor, decider = Client(here, "grantor"), Client(here, "decider", 1)
        session = _executor(grantor, decider, "u0")
        with pair.cut_off():
            assert decider.check(session).result not in ("allowed", "denied")
            assert grantor.revoke("u0", WORKS, key=False).result == "unsure"
            assert here.service.status("/livez") == http.client.OK
        pair.caught_up()  # the standby tries again every few seconds, and until then a change is not acknowledged
        for service in here.services:
            service.wait_ready()
        assert grantor.revoke("u0", WORKS).result in ("done", "missing")
        assert _asked(decider, session).result == "denied"


def _executor(grantor: Client, decider: Client, user: str) -> Session:
    """A session of a user who may execute, and did."""
    assert grantor.grant(user, WORKS).result == "done"
    session = _opened(decider, user, WORKS)
    assert _asked(decider, session).result == "allowed"
    return session


def _opened(client: Client, user: str, server: str) -> Session:
    end = time.monotonic() + ANSWER_SECONDS
    while (session := client.open_session(user, WORKS, server)) is None:
        assert time.monotonic() < end
    return session


def _asked(client: Client, session: Session) -> Op:
    """Ask until there is an answer: a machine that has too much to do gives none at first."""
    end = time.monotonic() + ANSWER_SECONDS
    while (asked := client.check(session)).result in ("unavailable", "lost", "down"):
        assert time.monotonic() < end, asked
        time.sleep(0.1)
    return asked


def _operator(*arguments: str) -> str:
    done = CliRunner().invoke(cli, arguments, standalone_mode=False)
    assert done.exception is None, done.exception
    assert done.return_value == 0, done.stderr
    return done.stderr


def _doctor(config: Path) -> dict[str, str]:
    """What it says about the database, by level."""
    done = CliRunner().invoke(cli, ["doctor", "-c", str(config), "-o", "json"], standalone_mode=False)
    said: dict[str, str] = defaultdict(str)
    for one in json.loads(done.stdout):
        said[one["level"]] += one["message"] + "\n"
    return said


def _sealed(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=8)
    try:
        connection.request("GET", "/readyz")
        answer = connection.getresponse()
        return answer.status == http.client.SERVICE_UNAVAILABLE and b'"sealed"' in answer.read()
    except OSError:
        return False
    finally:
        connection.close()


def _until(what: Callable[[], bool]) -> None:
    end = time.monotonic() + START_SECONDS
    while not what():
        assert time.monotonic() < end
        time.sleep(0.05)
