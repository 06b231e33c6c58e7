"""Requests for access from the spawn page, by users who have nothing to start."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import update

from aizen_hub.accounts.roles import access_requests
from aizen_hub.accounts.roles.assignments import parse_time
from aizen_hub.accounts.sessions import locks, spawn_requests
from aizen_hub.problems import BadInput, Denied, NotFound, Problem
from aizen_hub.rbac.assignment import LockTarget
from aizen_hub.rbac.identity import Identity
from aizen_hub.store import tables
from aizen_hub.store.actor import Actor, Channel
from tests.accounts.harness import OPERATOR, AccountsHarness

NORA = Identity.user("nora")
BY_HUB = Actor(NORA, Channel.HUB)


def ask(harness: AccountsHarness, project: str = "p1", role: str = "PROJECT_READER", duration: str = "7d") -> None:
    harness.execute(BY_HUB, spawn_requests.request_project, project, role, duration=duration, reason="to read")


@pytest.fixture(autouse=True)
def _registered(harness: AccountsHarness) -> None:
    harness.register_users("nora")


def test_a_request_waits_and_is_listed(harness: AccountsHarness) -> None:
    ask(harness)
    with harness.read() as tx:
        (waiting,) = spawn_requests.pending_requests(tx, NORA)
        assert (waiting.payload["role"], waiting.payload["scope"]) == ("PROJECT_READER", "p1")
        assert parse_time(waiting.payload["until"]) - tx.now == pytest.approx(
            timedelta(days=7), abs=timedelta(minutes=5)
        )
    harness.execute("carl", access_requests.approve_request, waiting.id)
    assert harness.roles_of("nora", "p1") == {"PROJECT_READER"}
    with harness.read() as tx:
        assert spawn_requests.pending_requests(tx, NORA) == []


def test_a_request_that_waits_is_listed_below_later_decided_ones(harness: AccountsHarness) -> None:
    ask(harness, role="PROJECT_ADMIN")
    p = tables.pending_changes
    harness.execute(OPERATOR, lambda tx: tx.conn.execute(update(p).values(requested=tx.now - timedelta(days=2))))
    for _ in range(access_requests.MAX_PENDING_PER_USER):
        ask(harness)
        with harness.read() as tx:
            later = spawn_requests.pending_requests(tx, NORA)[0]
        assert later.payload["role"] == "PROJECT_READER"
        harness.execute("nora", access_requests.withdraw_request, later.id)
    with harness.read() as tx:
        assert [row.payload["role"] for row in spawn_requests.pending_requests(tx, NORA)] == ["PROJECT_ADMIN"]


def test_only_roles_of_projects_are_offered(harness: AccountsHarness) -> None:
    with harness.read() as tx:
        names = {role.name for role in spawn_requests.askable_roles(tx, NORA)}
    assert {"PROJECT_READER", "PROJECT_EXECUTOR", "PROJECT_ADMIN"} <= names
    assert not names & {"PROJECT_CREATOR", "AIZEN_ADMIN"}


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"duration": "soon"}, BadInput),
        ({"role": "AIZEN_ADMIN"}, BadInput),
        ({"role": "NONE_SUCH"}, BadInput),
        ({"project": "system"}, BadInput),
        ({"project": "nowhere"}, NotFound),
    ],
)
def test_what_cannot_be_asked_for(harness: AccountsHarness, fields: dict[str, str], problem: type[Problem]) -> None:
    before = harness.state()
    with pytest.raises(problem):
        ask(harness, **fields)
    assert harness.state() == before


@pytest.mark.proves("R72")
def test_a_stopped_account_asks_for_nothing_and_learns_nothing(harness: AccountsHarness) -> None:
    harness.execute("admin", locks.lock_target, LockTarget.IDENTITY, "user:nora", reason="x")
    for project in ("p1", "nowhere"):
        with pytest.raises(Denied, match=r"is not activated|is locked"):
            ask(harness, project)
