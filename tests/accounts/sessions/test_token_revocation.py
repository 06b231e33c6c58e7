"""Revocation of role tokens: who may revoke whose, and what is recorded."""

from __future__ import annotations

import json
from typing import Any

import pytest
from sqlalchemy import select, update

from aizen_hub.accounts import command_handlers
from aizen_hub.accounts.roles import custom_roles
from aizen_hub.accounts.sessions import locks, server_sessions
from aizen_hub.accounts.sessions.token_revocation import RevocationTarget, revoke_tokens
from aizen_hub.audit.integrity.state_comparison import compare_state
from aizen_hub.problems import Denied, NotFound, Problem
from aizen_hub.rbac.assignment import LockTarget
from aizen_hub.rbac.identity import Identity
from aizen_hub.rbac.role import SYSTEM
from aizen_hub.store import tables
from aizen_hub.store.actor import Channel
from aizen_hub.tokens.opaque_token import hash_credential
from tests.accounts.harness import HUB, OPERATOR, AccountsHarness

USER, PROJECT, ALL = RevocationTarget.USER, RevocationTarget.PROJECT, RevocationTarget.ALL


def bounds(harness: AccountsHarness) -> dict[str, Any]:
    """Return the names of the users and projects whose tokens are bounded in time."""
    with harness.read() as tx:
        bounds_by_name = {"all": tx.conn.scalar(select(tables.revision.c.not_before))}
        for table in (tables.users, tables.projects):
            bounds_by_name |= {str(row.name): row.not_before for row in tx.conn.execute(select(table)).all()}
    return {name: bound for name, bound in bounds_by_name.items() if bound is not None}


def cut(harness: AccountsHarness) -> set[str]:
    """Return the sessions whose tokens ended by revision."""
    with harness.read() as tx:
        return set(
            tx.conn.scalars(select(tables.sessions.c.user).where(tables.sessions.c.min_token_revision.is_not(None)))
        )


@pytest.fixture
def place(sandbox: AccountsHarness) -> AccountsHarness:
    """A harness with a session for every user, and `lola`, who may lock: in the whole system, or in `p1` only."""
    sandbox.register_users("lola")
    sandbox.execute(
        OPERATOR,
        custom_roles.create_role,
        "LOCKER",
        permissions=["manage:locks", "enter:project"],
        scopes=["system", "project"],
    )
    for user, project in (("emma", "p1"), ("rita", "p1"), ("tim", "p2"), ("olga", "p2")):
        if user == "tim":
            sandbox.grant("PROJECT_READER", "p2", "tim")
        sandbox.execute(HUB, server_sessions.open_session, user, user, "", project, hash_credential(user))
    return sandbox


CASES = [
    # actor, scope of the right to lock, target, its name, expected error
    ("emma", None, USER, "emma", None),
    ("emma", None, USER, "EMMA", None),
    ("emma", None, USER, "rita", Denied),
    ("emma", None, USER, "unknown", Denied),
    ("paul", None, PROJECT, "p1", Denied),
    ("emma", None, PROJECT, "p2", NotFound),
    ("emma", None, PROJECT, "p9", NotFound),
    ("emma", None, ALL, "", Denied),
    ("lola", SYSTEM, USER, "emma", None),
    ("lola", SYSTEM, USER, "unknown", NotFound),
    ("lola", SYSTEM, USER, "", NotFound),
    ("lola", SYSTEM, PROJECT, "p1", None),
    ("lola", SYSTEM, PROJECT, "p9", NotFound),
    ("lola", SYSTEM, ALL, "", None),
    ("lola", "p1", USER, "emma", Denied),
    ("lola", "p1", PROJECT, "p1", None),
    ("lola", "p1", PROJECT, "p2", NotFound),
    ("lola", "p1", ALL, "", Denied),
    ("admin", None, USER, "emma", None),
    ("admin", None, PROJECT, "p1", None),
    ("admin", None, ALL, "", None),
]


@pytest.mark.proves("R47", "R60", "R72")
@pytest.mark.parametrize(("user", "lock_scope", "target", "name", "error"), CASES)
def test_who_may_revoke_tokens(
    place: AccountsHarness,
    user: str,
    lock_scope: str | None,
    target: RevocationTarget,
    name: str,
    error: type[Problem] | None,
) -> None:
    if lock_scope is not None:
        place.grant("LOCKER", lock_scope, user)
    if error is not None:
        with pytest.raises(error):
            place.execute(user, revoke_tokens, target, name)
        assert (bounds(place), cut(place)) == ({}, set())
        return
    now = place.now()
    place.execute(user, revoke_tokens, target, name, reason="seen elsewhere")
    subject = name.lower() or "all"
    assert set(bounds(place)) == {subject}
    assert bounds(place)[subject] == now.replace(microsecond=0)
    members = {USER: {"emma"}, PROJECT: {"emma", "rita"}, ALL: {"emma", "rita", "tim", "olga"}}
    assert cut(place) == members[target]


@pytest.mark.proves("R47", "R93")
def test_tokens_of_an_archived_project_can_be_revoked(place: AccountsHarness) -> None:
    """Its servers go on, so in an incident their tokens have to end."""
    place.execute("admin", locks.lock_target, LockTarget.ARCHIVE, "p1", reason="over")
    for user in ("emma", "paul"):
        with pytest.raises(Denied):
            place.execute(user, revoke_tokens, PROJECT, "p1")
    with pytest.raises(Denied):
        place.execute(place.actor("admin", acting=Identity.service_account("agent")), revoke_tokens, PROJECT, "p1")
    with pytest.raises(NotFound):
        place.execute("olga", revoke_tokens, PROJECT, "p1")
    assert (bounds(place), cut(place)) == ({}, set())
    place.execute("admin", revoke_tokens, PROJECT, "p1")
    assert (set(bounds(place)), cut(place)) == ({"p1"}, {"emma", "rita"})


@pytest.mark.proves("R70")
def test_it_is_refused_while_impersonating_or_locked(place: AccountsHarness) -> None:
    for target, name in ((USER, "emma"), (PROJECT, "p1"), (ALL, "")):
        with pytest.raises(Denied):
            place.execute(place.actor("admin", acting=Identity.service_account("agent")), revoke_tokens, target, name)
    with pytest.raises(Denied):
        place.execute(place.actor("emma", acting=Identity.service_account("agent")), revoke_tokens, USER, "emma")
    place.execute("admin", locks.lock_target, LockTarget.IDENTITY, "user:lola", reason="x")
    place.grant("LOCKER", SYSTEM, "lola")
    with pytest.raises(Denied):
        place.execute("lola", revoke_tokens, USER, "emma")
    assert bounds(place) == {}


@pytest.mark.proves("R77")
@pytest.mark.parametrize("channel", [Channel.KERNEL, Channel.CLI, Channel.SERVICE_ACCOUNT])
def test_revoking_all_tokens_waits_for_confirmation(place: AccountsHarness, channel: Channel) -> None:
    result = place.execute(place.actor("admin", channel), revoke_tokens, ALL, reason="leaked")
    assert result.pending_id
    assert (bounds(place), cut(place)) == ({}, set())
    with pytest.raises(Denied):
        place.execute("emma", command_handlers.confirm_pending_change, result.pending_id)
    place.execute("admin", command_handlers.confirm_pending_change, result.pending_id)
    assert set(bounds(place)) == {"all"}
    for target, name in ((USER, "emma"), (PROJECT, "p1")):
        assert place.execute(place.actor("admin", channel), revoke_tokens, target, name).pending_id is None


@pytest.mark.proves("R77")
def test_in_the_panel_it_needs_a_recent_login(place: AccountsHarness) -> None:
    with pytest.raises(Denied) as caught:
        place.execute(place.actor("admin", recent_login_until=None), revoke_tokens, ALL)
    assert caught.value.extensions["reason"] == "fresh-login-required"
    assert place.execute(OPERATOR, revoke_tokens, ALL).pending_id is None


@pytest.mark.proves("R47", "R93")
def test_its_record_says_what_it_wrote(harness: AccountsHarness) -> None:
    harness.execute(HUB, server_sessions.open_session, "emma", "emma", "", "p1", hash_credential("emma"))
    harness.execute("admin", revoke_tokens, USER, "emma", reason="x" * 1_000)
    with harness.read() as tx:
        change = tx.conn.execute(select(tables.changes).order_by(tables.changes.c.revision.desc())).first()
        assert change is not None
        row = json.loads(tx.conn.scalars(select(tables.audit.c.body).where(tables.audit.c.id == change.audit_id)).one())
        bound = tx.conn.scalar(select(tables.users.c.not_before).where(tables.users.c.name == "emma"))
    assert bound is not None
    bound = int(bound.timestamp()) * 1_000_000
    assert change.payload == [
        {"kind": "not-before", "subject": "user:emma", "not_before": bound, "min_token_revision": change.revision}
    ]
    assert (row["event"], row["identity"], row["reason"]) == ("tokens.revoked", "user:admin", "x" * 1_000)
    assert (row["details"]["subject"], row["details"]["sessions"]) == ("user:emma", 1)


@pytest.mark.proves("T-38")
@pytest.mark.parametrize(("target", "name"), [(USER, "emma"), (PROJECT, "p1"), (ALL, "")])
def test_a_missing_revocation_is_found_in_the_change_records(
    harness: AccountsHarness, target: RevocationTarget, name: str
) -> None:
    for user in ("emma", "rita"):
        harness.execute(HUB, server_sessions.open_session, user, user, "", "p1", hash_credential(user))
    harness.execute("admin", revoke_tokens, target, name)

    def found() -> list[str]:
        with harness.read() as tx:
            return [one.kind for one in compare_state(tx.conn)]

    assert found() == []
    table = {USER: tables.users, PROJECT: tables.projects, ALL: tables.revision}[target]
    ended = len(cut(harness))
    with harness.store.read() as tx:
        engine = tx.conn.engine
    with engine.begin() as conn:
        conn.execute(update(table).values(not_before=None))
        conn.execute(update(tables.sessions).values(min_token_revision=None))
    what = {USER: "user", PROJECT: "project", ALL: "store"}[target]
    assert sorted(found()) == sorted([what, *["session"] * ended])
