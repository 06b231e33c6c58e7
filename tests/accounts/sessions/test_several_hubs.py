"""Sessions of two hubs that share one service: each hub opens, ends and reports its own, whatever their names are."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test
from sqlalchemy import select, update

from aizen_hub.accounts.credentials import login_throttle
from aizen_hub.accounts.sessions import heartbeat, locks, server_sessions
from aizen_hub.accounts.sessions.session_deadlines import START_GRACE
from aizen_hub.hub_settings import MAIN_HUB, FurtherHubSettings
from aizen_hub.problems import Conflict, NotAuthenticated, Problem
from aizen_hub.rbac.assignment import LockTarget
from aizen_hub.store import tables
from tests.accounts.harness import HUB, OPERATOR, AccountsHarness, open_harness

GPU = replace(HUB, hub="gpu")
HUBS = {MAIN_HUB: HUB, "gpu": GPU}
FURTHER = (
    FurtherHubSettings(
        id="gpu", secret_file=Path("gpu"), api_url="http://gpu.example.org/hub/api", providers=("ldap",)
    ),
)
_s = tables.sessions


def credential(text: str) -> str:
    return sha256(text.encode()).hexdigest()


def opened(harness: AccountsHarness, hub: str, user: str, token: str = "", server: str = "") -> str:
    hashed = credential(token or f"{hub} {user} {server}")
    answer = harness.execute(HUBS[hub], server_sessions.open_session, user, user, server, "p1", hashed)
    return str(answer.session_id)


def age(harness: AccountsHarness, by: timedelta = START_GRACE + timedelta(minutes=2)) -> None:
    """Make the active sessions older, so that none counts as starting."""
    started = harness.now() - by
    statement = update(_s).where(_s.c.ended.is_(None)).values(started=started, last_seen=started + timedelta(seconds=1))
    harness.execute(OPERATOR, lambda tx: tx.conn.execute(statement))


def rows(harness: AccountsHarness, hub: str) -> list[Any]:
    with harness.read() as tx:
        return list(tx.conn.execute(select(_s).where(_s.c.hub == hub).order_by(_s.c.id)).all())


def active(harness: AccountsHarness) -> set[tuple[str, str, str]]:
    with harness.read() as tx:
        found = tx.conn.execute(select(_s.c.hub, _s.c.user, _s.c.server).where(_s.c.ended.is_(None)))
        return {(row.hub, row.user, row.server) for row in found}


@pytest.fixture
def make_two_hubs(populated_folder: Path, tmp_path: Path) -> Any:
    made: list[AccountsHarness] = []

    def make(**settings: Any) -> AccountsHarness:
        folder = tmp_path / f"hubs-{len(made)}"
        shutil.copytree(populated_folder, folder)
        made.append(open_harness(folder, **{"further_hubs": FURTHER, **settings}))
        return made[-1]

    yield make
    for harness in made:
        harness.close()


BOTH = {(hub, user, "") for hub in HUBS for user in ("emma", "rita")}
CASES: dict[str, tuple[Callable[[AccountsHarness], object], set[tuple[str, str, str]]]] = {
    # what happens while both run the default server at both hubs: which sessions are active afterwards
    "a restart at gpu": (lambda harness: opened(harness, "gpu", "emma", "again"), BOTH),
    "a stop at gpu": (
        lambda harness: harness.execute(GPU, server_sessions.end_sessions, "emma", "", "stopped"),
        BOTH - {("gpu", "emma", "")},
    ),
    "a stop at main": (
        lambda harness: harness.execute(HUB, server_sessions.end_sessions, "emma", "", "stopped"),
        BOTH - {("main", "emma", "")},
    ),
    "gpu lists nothing": (
        lambda harness: harness.execute(GPU, heartbeat.process_heartbeat, []),
        {("main", "emma", ""), ("main", "rita", "")},
    ),
    "main lists emma": (
        lambda harness: harness.execute(HUB, heartbeat.process_heartbeat, [("emma", "")]),
        BOTH - {("main", "rita", "")},
    ),
    "emma is stopped": (
        lambda harness: harness.execute("admin", locks.lock_target, LockTarget.IDENTITY, "user:emma", reason="x"),
        {("main", "rita", ""), ("gpu", "rita", "")},
    ),
}


@pytest.mark.proves("R46", "R146", "T-60")
@pytest.mark.parametrize("case", CASES)
def test_what_one_hub_does_leaves_the_sessions_of_the_other(
    make_two_hubs: Callable[[], AccountsHarness], case: str
) -> None:
    harness = make_two_hubs()
    for hub, user, _ in sorted(BOTH):
        opened(harness, hub, user)
    age(harness)
    operation, expected = CASES[case]
    operation(harness)
    assert active(harness) == expected


@pytest.mark.proves("R46", "R146")
def test_a_heartbeat_prolongs_only_the_sessions_of_its_hub(make_two_hubs: Callable[[], AccountsHarness]) -> None:
    harness = make_two_hubs()
    for hub in HUBS:
        opened(harness, hub, "emma")
    age(harness)
    harness.execute(GPU, heartbeat.process_heartbeat, [("emma", "")])
    harness.execute(GPU, server_sessions.renew_session, credential("gpu emma "))
    with pytest.raises(NotAuthenticated, match="not reported"):
        harness.execute(HUB, server_sessions.renew_session, credential("main emma "))


@pytest.mark.proves("R46")
def test_a_hub_stops_its_own_server_whose_session_ended(make_two_hubs: Callable[[], AccountsHarness]) -> None:
    harness = make_two_hubs()
    for hub in HUBS:
        opened(harness, hub, "emma")
    harness.execute(GPU, server_sessions.end_sessions, "emma", "", "role-lost")
    answers = {hub: harness.execute(actor, heartbeat.process_heartbeat, [("emma", "")]) for hub, actor in HUBS.items()}
    assert {hub: answer.stop for hub, answer in answers.items()} == {"main": (), "gpu": (("emma", ""),)}


@pytest.mark.proves("R46", "R146")
def test_the_grace_of_a_project_at_one_hub_keeps_no_server_of_the_other(
    make_two_hubs: Callable[[], AccountsHarness],
) -> None:
    harness = make_two_hubs()
    harness.create_project("p2", "paul")
    opened(harness, MAIN_HUB, "paul")
    harness.execute(GPU, server_sessions.open_session, "paul", "paul", "", "p2", credential("gpu"))
    harness.execute(GPU, server_sessions.end_sessions, "paul", "", "role-lost")
    harness.execute("admin", locks.lock_target, LockTarget.PROJECT, "p1", reason="x")
    answers = {hub: harness.execute(actor, heartbeat.process_heartbeat, [("paul", "")]) for hub, actor in HUBS.items()}
    assert {hub: answer.stop for hub, answer in answers.items()} == {"main": (), "gpu": (("paul", ""),)}


def test_a_server_of_one_hub_has_no_session_by_that_of_the_other(make_two_hubs: Callable[[], AccountsHarness]) -> None:
    harness = make_two_hubs()
    opened(harness, MAIN_HUB, "emma")
    answer = harness.execute(GPU, heartbeat.process_heartbeat, [("emma", "")])
    assert (answer.ended, answer.stop, answer.without_session) == ((), (), (("emma", ""),))


@pytest.mark.proves("T-09", "T-60")
def test_a_credential_of_one_hub_opens_nothing_at_the_other(make_two_hubs: Callable[[], AccountsHarness]) -> None:
    harness = make_two_hubs()
    opened(harness, MAIN_HUB, "emma", "same")
    with pytest.raises(Conflict):
        opened(harness, "gpu", "emma", "same")
    harness.execute(HUB, server_sessions.end_sessions, "emma", "", "stopped")
    with pytest.raises(Conflict):
        opened(harness, "gpu", "emma", "same")
    assert opened(harness, MAIN_HUB, "emma", "same"), "a server that is resumed keeps its credential"


@pytest.mark.proves("R46")
def test_sessions_of_a_hub_that_was_taken_out_end(make_two_hubs: Callable[..., AccountsHarness]) -> None:
    harness = make_two_hubs()
    for hub in HUBS:
        opened(harness, hub, "emma")
    harness.execute(HUB, heartbeat.process_heartbeat, [("emma", "")])
    assert len(active(harness)) == 2, "its hub is in the settings"
    without = open_harness(harness.settings.data_dir)
    try:
        answer = without.execute(HUB, heartbeat.process_heartbeat, [("emma", "")])
        assert (answer.ended, answer.stop) == ((), ())
        assert active(without) == {("main", "emma", "")}
        with pytest.raises(NotAuthenticated, match="its hub does not use this service any more"):
            without.execute(HUB, server_sessions.renew_session, credential("gpu emma "))
    finally:
        without.close()


@pytest.mark.proves("R46", "R146")
def test_sessions_of_people_whose_provider_was_taken_from_the_hub_end(
    make_two_hubs: Callable[..., AccountsHarness],
) -> None:
    harness = make_two_hubs()
    for hub in HUBS:
        opened(harness, hub, "emma")
    without = open_harness(
        harness.settings.data_dir, further_hubs=(FURTHER[0].model_copy(update={"providers": ("idp",)}),)
    )
    try:
        answers = {
            hub: without.execute(actor, heartbeat.process_heartbeat, [("emma", "")]) for hub, actor in HUBS.items()
        }
        assert {hub: answer.stop for hub, answer in answers.items()} == {"main": (), "gpu": (("emma", ""),)}
        assert active(without) == {("main", "emma", "")}
        with pytest.raises(NotAuthenticated, match="does not sign in people of your provider any more") as caught:
            without.execute(HUB, server_sessions.renew_session, credential("gpu emma "))
        assert caught.value.remedy == "start a server at another hub"
    finally:
        without.close()


@pytest.mark.proves("R94")
def test_the_audit_names_a_further_hub(make_two_hubs: Callable[[], AccountsHarness]) -> None:
    harness = make_two_hubs()
    for hub in HUBS:
        opened(harness, hub, "emma")
    # Also where neither hub has ended them.
    harness.execute("admin", locks.lock_target, LockTarget.IDENTITY, "user:emma", reason="x")
    with harness.read() as tx:
        a = tables.audit
        for event in ("session.opened", "session.ended"):
            bodies = tx.conn.execute(select(a.c.body).where(a.c.event == event).order_by(a.c.number)).scalars()
            assert sorted('"hub":"gpu"' in bytes(body).decode() for body in bodies) == [False, True], event


@pytest.mark.proves("R123", "T-60")
@pytest.mark.parametrize(("attempts", "undone"), [(login_throttle.FREE_ATTEMPTS_PER_SOURCE, False), (3, True)])
def test_a_hub_neither_throttles_nor_excuses_attempts_at_the_other(
    make_two_hubs: Callable[[], AccountsHarness], attempts: int, undone: bool
) -> None:
    """Its word for where they came from counts for itself only."""
    harness = make_two_hubs()
    source = "192.0.2.7"

    def fail(hub: str, number: int) -> int | None:
        answer: int | None = harness.execute(HUBS[hub], login_throttle.count_attempt, "ldap", f"{hub}{number}", source)
        return answer

    waits = [fail("gpu", number) for number in range(attempts)]
    assert not any(waits)
    if not undone:
        assert fail("gpu", -1) is not None
        assert fail(MAIN_HUB, -1) is None
        return
    for number in range(login_throttle.FREE_ATTEMPTS_PER_SOURCE):
        assert fail(MAIN_HUB, number) is None
        harness.execute(GPU, login_throttle.undo_attempt, "ldap", f"other{number}", source)
    assert fail(MAIN_HUB, -1) is not None


USERS, SERVERS = ("emma", "rita"), ("", "second")
users, servers, hubs = st.sampled_from(USERS), st.sampled_from(SERVERS), st.sampled_from(sorted(HUBS))


class TwoHubs(RuleBasedStateMachine):
    """Anything that one hub can send, in any order, changes no session of the other."""

    @initialize()
    def open(self) -> None:
        self._folder = tempfile.TemporaryDirectory()
        folder = Path(self._folder.name) / "data"
        shutil.copytree(TwoHubs.template, folder)
        self.harness = open_harness(folder, further_hubs=FURTHER)

    def teardown(self) -> None:
        self.harness.close()
        self._folder.cleanup()

    template: Path

    def check(self, hub: str, operation: Callable[..., Any], *args: Any) -> None:
        other = next(name for name in HUBS if name != hub)
        before = rows(self.harness, other)
        with suppress(Problem):
            self.harness.execute(HUBS[hub], operation, *args)
        assert rows(self.harness, other) == before

    @rule(hub=hubs, user=users, server=servers, token=st.integers(0, 3))
    def start(self, hub: str, user: str, server: str, token: int) -> None:
        self.check(hub, server_sessions.open_session, user, user, server, "p1", credential(str(token)))

    @rule(hub=hubs, user=users, server=servers)
    def stop(self, hub: str, user: str, server: str) -> None:
        self.check(hub, server_sessions.end_sessions, user, server, "stopped")

    @rule(hub=hubs, live=st.sets(st.tuples(users, servers)))
    def report(self, hub: str, live: set[tuple[str, str]]) -> None:
        self.check(hub, heartbeat.process_heartbeat, sorted(live))

    @rule()
    def wait(self) -> None:
        age(self.harness)


@pytest.mark.proves("R146", "T-60")
def test_no_history_of_one_hub_changes_sessions_of_the_other(populated_folder: Path) -> None:
    TwoHubs.template = populated_folder
    run_state_machine_as_test(TwoHubs, settings=settings(max_examples=20, stateful_step_count=15, deadline=None))
