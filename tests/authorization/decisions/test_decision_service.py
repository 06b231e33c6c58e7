"""The decision service: what is allowed, why, and what is recorded."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import insert, select

from aizen_hub.accounts.sessions.token_revocation import RevocationTarget, revoke_tokens
from aizen_hub.audit.integrity.chain_verifier import verify_chains
from aizen_hub.audit.redaction import SecretHasher
from aizen_hub.authorization.decisions.decision_service import DecisionRequest, DecisionService
from aizen_hub.authorization.decisions.evaluation import CREDENTIAL_REASONS
from aizen_hub.catalogs.catalog import ALL_KEY_VALUES
from aizen_hub.commands.authorization_request import build_authorization_request
from aizen_hub.commands.parser import parse_command
from aizen_hub.rbac.decision import AuthorizationRequest, Reason
from aizen_hub.rbac.identity import Identity
from aizen_hub.rbac.permission import Permission
from aizen_hub.rbac.role import SYSTEM
from aizen_hub.store import tables
from aizen_hub.store.actor import Actor, Channel
from aizen_hub.store.sql_store import Store
from aizen_hub.store.transaction import WriteTransaction
from tests.authorization.decisions.decision_setup import (
    ACTOR,
    ALICE,
    BOB,
    ISSUED,
    OTHER,
    PATIENT,
    REQUEST,
    SESSION,
    TOKEN,
    change_project,
    effective_rows,
    end_session,
    key_state,
    request,
    revoke_tokens_of_session,
    rows,
    with_token,
    without_token,
    write,
)
from tests.store import store_rows
from tests.store.conftest import Opener
from tests.store.store_rows import READ, TRAIN

CASES: dict[str, tuple[DecisionRequest, Reason]] = {
    "granted": (REQUEST, Reason.GRANTED),
    "open to all": (request(None, SYSTEM), Reason.OPEN),
    "lacking": (request(Permission("delete", "training")), Reason.NO_ASSIGNMENT),
    "another project": (request(scope="p2"), Reason.NO_ASSIGNMENT),
    "no such project": (request(scope="p9"), Reason.UNKNOWN_PROJECT),
    "no project": (request(scope=None), Reason.PROJECT_REQUIRED),
    "narrowed": (with_token(scope=frozenset({"read"})), Reason.OUTSIDE_TOKEN),
    "narrowed, open to all": (
        replace(request(None, SYSTEM), token=replace(TOKEN, scope=frozenset({"read", "execute", "manage"}))),
        Reason.OUTSIDE_TOKEN,
    ),
    "narrowed to everything": (
        replace(request(None, SYSTEM), token=replace(TOKEN, scope=frozenset({"*"}))),
        Reason.OPEN,
    ),
    "narrowed, within": (with_token(scope=frozenset({"execute"})), Reason.GRANTED),
    "no such session": (with_token(session_id="c" * 32), Reason.SESSION_ENDED),
    "another's session": (with_token(session_id=OTHER), Reason.SESSION_ENDED),
    "another's token": (with_token(subject="bob"), Reason.SESSION_ENDED),
    "another project's token": (with_token(project="p2"), Reason.PROJECT_CHANGED),
    "unknown key": (with_token(key_id="gone"), Reason.REVOKED),
    "expired by the store's time": (with_token(expires_at=ISSUED - timedelta(seconds=1)), Reason.TOKEN_EXPIRED),
    "the actor is not the subject": (replace(REQUEST, actor=replace(ACTOR, identity=BOB)), Reason.SESSION_ENDED),
    "no token, wrong session": (DecisionRequest(replace(ACTOR, session=OTHER), REQUEST.request), Reason.SESSION_ENDED),
    "no token, moved": (DecisionRequest(replace(ACTOR, project="p2"), REQUEST.request), Reason.PROJECT_CHANGED),
    "the panel has no session": (without_token(), Reason.GRANTED),
    "unknown": (without_token(Identity.user("eve"), Channel.CLI, None), Reason.NOT_ACTIVE),
    "a service account of that name": (without_token(Identity.service_account("alice")), Reason.NOT_ACTIVE),
}


@pytest.mark.proves("R61", "R93", "R94", "I2")
async def test_a_decision_is_recorded_before_it_is_answered(decisions: DecisionService, populated_store: Store) -> None:
    recorded = await decisions.decide(REQUEST)
    (row,) = rows(populated_store)
    assert recorded.decision.allowed
    with populated_store.read() as tx:
        assert recorded.revision == tx.revision
    assert row == {
        "id": recorded.id, "at": row["at"], "event": "decision", "identity": "user:alice", "channel": "kernel",
        "session": SESSION, "project": "p1", "source": "127.0.0.1", "token_id": TOKEN.token_id, "allowed": True,
        "reason": "granted", "sentence": recorded.decision.sentence, "assignment": recorded.decision.assignment_id,
        "role": "PROJECT_EXECUTOR", "revision": recorded.revision,
        "details": {"scope": "p1", "permission": "execute:training"},
    }  # fmt: skip
    assert (recorded.is_fresh, recorded.code) == (True, None)


@pytest.mark.proves("R59")
@pytest.mark.parametrize(
    ("decision_request", "reason"),
    [pytest.param(*case, id=name) for name, case in CASES.items()],
)
async def test_every_denial_has_its_reason(
    decisions: DecisionService, populated_store: Store, decision_request: DecisionRequest, reason: Reason
) -> None:
    recorded = await decisions.decide(decision_request)
    assert recorded.decision.reason is reason
    assert recorded.decision.allowed is (reason in (Reason.GRANTED, Reason.OPEN))
    assert (recorded.code is None) is (reason not in CREDENTIAL_REASONS)
    (row,) = rows(populated_store, id=recorded.id)
    assert (row["allowed"], row["reason"], row["sentence"]) == (
        recorded.decision.allowed,
        reason.value,
        recorded.decision.sentence,
    )
    with populated_store.read() as tx:
        assert decisions.evaluate_unrecorded(tx, decision_request) == recorded.decision
    with populated_store.write(decision_request.actor) as tx:
        in_transaction = decisions.decide_in_transaction(tx, decision_request)
    assert in_transaction.decision == recorded.decision
    assert {**rows(populated_store, id=in_transaction.id)[0], "id": "", "at": 0} == {**row, "id": "", "at": 0}


@pytest.mark.proves("R46", "R47", "R48", "R49", "T-41", "T-54")
@pytest.mark.parametrize(
    ("change", "reason"),
    [
        pytest.param(
            lambda tx: store_rows.delete_assignment(tx, "PROJECT_EXECUTOR", "p1", ALICE),
            Reason.NO_ASSIGNMENT,
            id="role revoked",
        ),
        pytest.param(lambda tx: store_rows.insert_lock(tx, "identity", "user:alice"), Reason.LOCKED, id="user locked"),
        pytest.param(lambda tx: store_rows.insert_lock(tx, "project", "p1"), Reason.LOCKED, id="project locked"),
        pytest.param(lambda tx: store_rows.insert_lock(tx, "session", SESSION), Reason.LOCKED, id="session locked"),
        pytest.param(end_session, Reason.SESSION_ENDED, id="session ended"),
        pytest.param(change_project, Reason.PROJECT_CHANGED, id="project changed"),
        pytest.param(lambda tx: revoke_tokens(tx, RevocationTarget.ALL), Reason.REVOKED, id="all tokens"),
        pytest.param(
            lambda tx: revoke_tokens(tx, RevocationTarget.USER, "alice"), Reason.REVOKED, id="the user's tokens"
        ),
        pytest.param(
            lambda tx: revoke_tokens(tx, RevocationTarget.PROJECT, "p1"), Reason.REVOKED, id="the project's tokens"
        ),
        pytest.param(revoke_tokens_of_session, Reason.REVOKED, id="the session's tokens"),
        pytest.param(key_state("withdrawn"), Reason.REVOKED, id="key withdrawn"),
        pytest.param(key_state("retired", timedelta(minutes=1)), Reason.REVOKED, id="key retired before"),
        pytest.param(key_state("retired", timedelta(seconds=-5)), Reason.GRANTED, id="key retired after"),
        pytest.param(key_state("published"), Reason.GRANTED, id="key published"),
    ],
)
async def test_a_change_is_effective_once_it_is_acknowledged(
    decisions: DecisionService,
    opened: Opener,
    change: Callable[[WriteTransaction], None],
    reason: Reason,
) -> None:
    """On this replica and on another one, after both have allowed the request."""
    second = DecisionService(opened(service=PATIENT))
    try:
        for service in (decisions, second):
            assert (await service.decide(REQUEST)).decision.allowed
        revision = write(second.store, change)
        for service in (decisions, second):
            recorded = await service.decide(REQUEST)
            assert recorded.decision.reason is reason
            assert recorded.revision >= revision
    finally:
        second.close()


@pytest.mark.proves("R47", "T-41")
@pytest.mark.parametrize(
    ("target", "name"), [(RevocationTarget.USER, "alice"), (RevocationTarget.PROJECT, "p1"), (RevocationTarget.ALL, "")]
)
async def test_neither_time_nor_revision_in_a_token_prevents_its_revocation(
    decisions: DecisionService, populated_store: Store, target: RevocationTarget, name: str
) -> None:
    with populated_store.read() as tx:
        # Issued just now, by a clock that was set back since.
        ahead = with_token(revision=tx.revision, issued_at=tx.now.replace(microsecond=0) + timedelta(seconds=20))
    forged = with_token(revision=1 << 40, issued_at=ISSUED - timedelta(seconds=1))
    assert [(await decisions.decide(token)).decision.allowed for token in (ahead, forged)] == [True, True]
    write(populated_store, lambda tx: revoke_tokens(tx, target, name))
    reasons = [(await decisions.decide(token)).decision.reason for token in (ahead, forged)]
    assert reasons == [Reason.REVOKED, Reason.REVOKED]


@pytest.mark.proves("R48", "I3", "T-07", "T-54")
async def test_revocation_under_concurrent_load(decisions: DecisionService, opened: Opener) -> None:
    """Grant and revoke in turn under load; every request that starts after an acknowledgement sees the change."""
    second, writer = DecisionService(opened(service=PATIENT)), opened(service=PATIENT)
    stop = asyncio.Event()
    bob = DecisionRequest(Actor(BOB, Channel.PANEL), AuthorizationRequest(READ, "p1"))

    async def load() -> None:
        while not stop.is_set():
            assert (await decisions.decide(bob)).decision.allowed

    busy = [asyncio.create_task(load()) for _ in range(4)]
    try:
        for _ in range(25):
            revision = await asyncio.to_thread(
                write, writer, lambda tx: store_rows.delete_assignment(tx, "PROJECT_EXECUTOR", "p1", ALICE)
            )
            for recorded in await asyncio.gather(decisions.decide(REQUEST), second.decide(REQUEST)):
                assert not recorded.decision.allowed
                assert recorded.revision >= revision
            revision = await asyncio.to_thread(
                write, writer, lambda tx: store_rows.insert_assignment(tx, "PROJECT_EXECUTOR", "p1", ALICE)
            )
            for recorded in await asyncio.gather(decisions.decide(REQUEST), second.decide(REQUEST)):
                assert recorded.decision.allowed
                assert recorded.revision >= revision
    finally:
        stop.set()
        await asyncio.gather(*busy)
        second.close()


@pytest.mark.proves("R54", "R70", "T-06")
async def test_a_user_who_acts_for_another_is_checked_too(decisions: DecisionService, populated_store: Store) -> None:
    acting = DecisionRequest(replace(ACTOR, acting=BOB), REQUEST.request, token=replace(TOKEN, actor="bob"))
    denied = await decisions.decide(acting)
    assert (denied.decision.reason, rows(populated_store)[0]["acting"]) == (Reason.NOT_ACTIVE, "user:bob")
    endpoints = {**populated_store.catalog.endpoints, "impersonate": Permission("impersonate", "user")}
    populated_store.catalog = replace(populated_store.catalog, endpoints=endpoints)
    assert (await decisions.decide(acting)).decision.reason is Reason.NO_ASSIGNMENT

    def allow(tx: WriteTransaction) -> None:
        row = {"description": "", "category": "", "scopes": ["system"], "limits": {}, "version": 1}
        tx.conn.execute(insert(tables.roles).values(name="HELPER", permissions=["impersonate:user"], **row))
        tx.record_change("role", {}, ["role:HELPER"])
        store_rows.insert_assignment(tx, "HELPER", SYSTEM, BOB)
        store_rows.insert_assignment(tx, "PROJECT_ADMIN", "p1", BOB)

    write(populated_store, allow)
    assert (await decisions.decide(acting)).decision.allowed
    more = replace(acting, request=AuthorizationRequest(Permission("delete", "training"), "p1"))
    assert not (await decisions.decide(more)).decision.allowed, "the rights of the acting user are not added"
    write(populated_store, lambda tx: store_rows.insert_lock(tx, "identity", "user:bob"))
    assert (await decisions.decide(acting)).decision.reason is Reason.LOCKED


@pytest.mark.proves("I2", "I7")
async def test_one_row_for_each_answer(decisions: DecisionService, populated_store: Store) -> None:
    requests = [replace(REQUEST, request=AuthorizationRequest(TRAIN, f"p{number % 3}")) for number in range(300)]
    decisions_made = await asyncio.gather(*map(decisions.decide, requests))
    by_id = effective_rows(populated_store)
    assert len(by_id) == len(decisions_made) == 300
    for decision_request, recorded in zip(requests, decisions_made, strict=True):
        row = by_id[recorded.id]
        assert (row["allowed"], row["details"]["scope"]) == (recorded.decision.allowed, decision_request.request.scope)
    with populated_store.read() as tx:
        report = verify_chains(tx.conn)
    assert report.is_intact, report.findings


async def test_pending_requests_share_a_transaction(decisions: DecisionService, populated_store: Store) -> None:
    await asyncio.gather(*(decisions.decide(REQUEST) for _ in range(100)))
    # All rows of a transaction have the same time of the store.
    assert len({row["at"] for row in rows(populated_store)}) < 60


@pytest.mark.proves("R98")
async def test_secret_arguments_are_not_recorded(populated_store: Store) -> None:
    command = parse_command("configure datasource db password=hunter2", populated_store.catalog)
    command = replace(command, entry=replace(command.entry, secret=frozenset({ALL_KEY_VALUES})))
    decision_request = replace(
        REQUEST, request=build_authorization_request(command, "p1", ALICE, SESSION), command=command
    )
    hasher = SecretHasher(bytes(range(32)))
    for redactor, expected in ((None, "***"), (hasher, hasher.hash_secret("hunter2"))):
        decisions = DecisionService(populated_store, redactor)
        recorded = await decisions.decide(decision_request)
        with populated_store.write(ACTOR) as tx:
            in_transaction = decisions.decide_in_transaction(tx, decision_request)
        decisions.close()
        for decision_id in (recorded.id, in_transaction.id):
            assert rows(populated_store, id=decision_id)[0]["command"] == f"configure datasource db password={expected}"
    with populated_store.read() as tx:
        assert not [body for body in tx.conn.scalars(select(tables.audit.c.body)) if b"hunter2" in bytes(body)]


@pytest.mark.proves("R81")
def test_the_caller_records_the_decision_of_a_failed_transaction(
    decisions: DecisionService, populated_store: Store
) -> None:
    with pytest.raises(ZeroDivisionError), populated_store.write(ACTOR) as tx:  # noqa: PT012
        store_rows.delete_assignment(tx, "PROJECT_EXECUTOR", "p1", ALICE)
        recorded = decisions.decide_in_transaction(tx, REQUEST)
        assert not recorded.decision.allowed, "it sees the changes of the transaction"
        raise ZeroDivisionError
    assert rows(populated_store) == []
    populated_store.append_audit([decisions.audit_record(recorded, REQUEST)])
    (row,) = rows(populated_store)
    assert (row["id"], row["allowed"]) == (recorded.id, False)
