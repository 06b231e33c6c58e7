"""Exchange, downscoping, revocation and early end of a role token, on a real store."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select, update

from aizen_hub.accounts.audit_quota import AuditQuota, AuditQuotas
from aizen_hub.accounts.projects import lifecycle
from aizen_hub.accounts.roles import assignments
from aizen_hub.accounts.sessions import locks, server_sessions, token_revocation
from aizen_hub.accounts.sessions.token_exchange import (
    IssuedToken,
    TokenExchange,
    find_credential_holder,
    unknown_credential_error,
)
from aizen_hub.accounts.sessions.token_revocation import RevocationTarget
from aizen_hub.accounts.users import registration
from aizen_hub.authorization.decisions.token_status import revoke_session_tokens, token_invalid_reason
from aizen_hub.catalogs.loader import load_catalog
from aizen_hub.problems import BadInput, Denied, NotAuthenticated, NotFound, Problem, Unavailable
from aizen_hub.rbac.assignment import LockTarget
from aizen_hub.rbac.identity import Identity
from aizen_hub.rbac.permission import Permission
from aizen_hub.settings import ProviderSettings, SessionSettings, Settings
from aizen_hub.store import tables
from aizen_hub.store.actor import Actor, Channel
from aizen_hub.store.keystore import KeyStore
from aizen_hub.store.sql_store import Store
from aizen_hub.store.transaction import WriteTransaction
from aizen_hub.tokens.keys import Purpose
from aizen_hub.tokens.opaque_token import hash_credential, new_credential, new_id
from aizen_hub.tokens.role_token import RoleToken, RoleTokenVerifier, issue_role_token
from tests.fixtures.databases.sqlite import create_database_file

OPERATOR = Actor(Identity.service_account("operator"), Channel.OPERATOR)
HUB = Actor(Identity.service_account("hub"), Channel.HUB)
CATALOG = load_catalog("aizen")


class ExchangeHarness:
    """A store with two projects, `churn` and `fraud`, and users in them."""

    def __init__(self, folder: Path, **changes: Any) -> None:
        provider = ProviderSettings(name="ldap", kind="ldap")
        self.settings = Settings(
            data_dir=create_database_file(folder), providers=(provider,), admin_user="ldap:root", **changes
        )
        self.store = Store.open(self.settings, CATALOG)
        self.keys = KeyStore.open(self.settings, self.store)
        self.exchange = TokenExchange(self.store, self.keys, lambda: None)
        with self.store.write(OPERATOR) as tx:
            for name in ("alice", "bob"):
                registration.unauthorized_register_user(tx, name, provider="ldap")
            for name in ("churn", "fraud", "closed"):
                lifecycle.create_project(tx, name, owner=Identity.user("bob"))
            assignments.grant_roles(tx, ["PROJECT_EXECUTOR"], "churn", Identity.user("alice"))
            assignments.grant_roles(tx, ["PROJECT_READER"], "fraud", Identity.user("alice"))

    def start(self, user: str = "alice", project: str | None = "churn", server: str = "") -> tuple[str, str]:
        """Open a session; returns the server's hub token and the session's id."""
        token = new_credential()
        with self.store.write(HUB) as tx:
            opened = server_sessions.open_session(tx, user, user, server, project, hash_credential(token))
        return token, opened.session_id

    def renew(self, hub_token: str, *, role_token: RoleToken | None = None, **more: Any) -> IssuedToken:
        """Exchange a hub token as the service does."""
        with self.store.read() as tx:
            holder = find_credential_holder(tx, hub_token)
        if holder is None:
            note = self.exchange.record_unknown_credential(role_token, None)
            if note is not None:
                note()
            raise unknown_credential_error()
        return self.exchange.renew(holder, role_token=role_token, **more)

    def read(self, issued: IssuedToken) -> RoleToken:
        with self.store.read() as tx:
            own = self.settings.service_url
            return RoleTokenVerifier(self.keys.ring(tx), own, own).verify(issued.token, tx.now)

    def ended(self, token: RoleToken) -> str | None:
        with self.store.read() as tx:
            invalid_reason = token_invalid_reason(tx, self.keys.ring(tx), token)
        return None if invalid_reason is None else invalid_reason[0]

    def rows(self, event: str = "exchange") -> list[dict[str, Any]]:
        with self.store.read() as tx:
            records = tx.conn.execute(
                select(tables.audit.c.body).where(tables.audit.c.event == event).order_by(tables.audit.c.number)
            )
            return [json.loads(row.body) for row in records]

    def do(self, operation: Any) -> None:
        with self.store.write(OPERATOR) as tx:
            operation(tx)


@pytest.fixture
def exchange_harness(tmp_path: Path) -> Iterator[ExchangeHarness]:
    exchange_harness = ExchangeHarness(tmp_path)
    yield exchange_harness
    exchange_harness.store.close()


def refused(exchange_harness: ExchangeHarness, operation: Any) -> tuple[str, dict[str, Any]]:
    """Run an operation that must be denied; return its code and its audit row."""
    count_before = len(exchange_harness.rows())
    with pytest.raises((NotAuthenticated, Denied, NotFound, BadInput)) as caught:
        operation()
    rows = exchange_harness.rows()
    assert len(rows) == count_before + 1
    assert rows[-1]["allowed"] is False
    return str(caught.value.extensions.get("code", caught.value.slug)), rows[-1]


@pytest.mark.proves("R46")
def test_a_renewal_gives_what_the_session_has_now(exchange_harness: ExchangeHarness) -> None:
    hub_token, session = exchange_harness.start()
    issued = exchange_harness.renew(hub_token)
    token = exchange_harness.read(issued)
    assert (token.subject, token.session_id, token.project) == ("alice", session, "churn")
    assert token.roles == ("PROJECT_EXECUTOR",)
    assert (token.scope, token.actor) == (None, None)
    assert issued.expires_in == 300
    assert exchange_harness.ended(token) is None
    row = exchange_harness.rows()[-1]
    assert (row["allowed"], row["identity"], row["session"], row["project"]) == (True, "user:alice", session, "churn")
    assert row["details"]["issued"] == token.token_id

    exchange_harness.do(lambda tx: assignments.grant_roles(tx, ["PROJECT_ADMIN"], "churn", Identity.user("alice")))
    again = exchange_harness.read(exchange_harness.renew(hub_token))
    assert again.roles == ("PROJECT_ADMIN", "PROJECT_EXECUTOR")
    assert again.revision > token.revision


class TestNoRenewal:
    """Events that end the right to renew at once (R46)."""

    @pytest.mark.proves("R46", "R50", "T-09")
    def test_with_a_credential_that_is_no_session_s(self, exchange_harness: ExchangeHarness) -> None:
        exchange_harness.start()
        for guess in (new_credential(), "", " ", "x" * 8192, "\ud800", hash_credential("x")):
            assert refused(exchange_harness, lambda guess=guess: exchange_harness.renew(guess))[0] == "unknown"

    @pytest.mark.proves("R50", "T-09")
    def test_with_the_hash_instead_of_the_credential(self, exchange_harness: ExchangeHarness) -> None:
        hub_token, _ = exchange_harness.start()
        assert refused(exchange_harness, lambda: exchange_harness.renew(hash_credential(hub_token)))[0] == "unknown"

    @pytest.mark.proves("R50", "T-09")
    def test_with_another_server_s_hub_token(self, exchange_harness: ExchangeHarness) -> None:
        of_alice, session = exchange_harness.start("alice")
        of_bob, _ = exchange_harness.start("bob")
        stolen = exchange_harness.read(exchange_harness.renew(of_alice))
        code, row = refused(exchange_harness, lambda: exchange_harness.renew(of_bob, role_token=stolen))
        assert code == "another-session"
        assert (row["identity"], row["token_id"]) == ("user:bob", stolen.token_id)
        code, row = refused(exchange_harness, lambda: exchange_harness.renew(new_credential(), role_token=stolen))
        assert code == "unknown"
        assert (row["identity"], row["session"]) == ("user:alice", session)
        assert exchange_harness.renew(of_alice, role_token=stolen)

    @pytest.mark.proves("T-13")
    def test_with_a_role_token_in_place_of_the_hub_token(self, exchange_harness: ExchangeHarness) -> None:
        hub_token, _ = exchange_harness.start()
        text = exchange_harness.renew(hub_token).token
        assert refused(exchange_harness, lambda: exchange_harness.renew(text))[0] == "unknown"

    @pytest.mark.proves("R46")
    @pytest.mark.parametrize(
        ("event", "code"),
        [
            ("stopped", "session-ended"),
            ("restarted", "session-ended"),
            ("ended by id", "session-ended"),
            ("locked", None),
            ("session locked", None),
            ("project locked", None),
            ("inactive", "not-active"),
            ("deleted", None),
            ("project deleted", None),
            ("unheard", "session-unheard"),
        ],
    )
    def test_no_renewal_after(self, exchange_harness: ExchangeHarness, event: str, code: str | None) -> None:
        hub_token, session = exchange_harness.start()
        good = exchange_harness.read(exchange_harness.renew(hub_token))
        assert exchange_harness.ended(good) is None
        alice = Identity.user("alice")
        events: dict[str, Any] = {
            "stopped": lambda tx: server_sessions.end_sessions(tx, "alice", "", "stopped"),
            "restarted": lambda tx: server_sessions.open_session(
                tx, "alice", "alice", "", "churn", hash_credential(new_id())
            ),
            "ended by id": lambda tx: server_sessions.end_session(tx, session, "admin"),
            "locked": lambda tx: locks.lock_target(tx, LockTarget.IDENTITY, str(alice), reason="x"),
            "session locked": lambda tx: locks.lock_target(tx, LockTarget.SESSION, session, reason="x"),
            "project locked": lambda tx: locks.lock_target(tx, LockTarget.PROJECT, "churn", reason="x"),
            "inactive": lambda tx: self.switch_off(tx),
            "deleted": lambda tx: registration.delete_users(tx, ["alice"]),
            "project deleted": lambda tx: lifecycle.delete_project(tx, "churn"),
            "unheard": lambda tx: tx.conn.execute(
                update(tables.sessions).values(
                    last_seen=tx.now - timedelta(hours=1), started=tx.now - timedelta(hours=2)
                )
            ),
        }
        exchange_harness.do(events[event])
        denial_code, row = refused(exchange_harness, lambda: exchange_harness.renew(hub_token))
        assert code is None or denial_code == code
        assert row["session"] == session
        if event != "unheard":
            assert exchange_harness.ended(good) is not None
            assert refused(exchange_harness, lambda: exchange_harness.exchange.downscope(good, scope="list:training"))

    def switch_off(self, tx: WriteTransaction) -> None:
        tx.conn.execute(update(tables.users).where(tables.users.c.name == "alice").values(active=False))
        tx.record_change("user", {}, ["user:alice"])

    @pytest.mark.proves("R7")
    def test_while_sealed(self, exchange_harness: ExchangeHarness) -> None:
        hub_token, _ = exchange_harness.start()
        exchange_harness.settings.key_encryption_path.unlink()
        sealed = TokenExchange(
            exchange_harness.store, KeyStore.open(exchange_harness.settings, exchange_harness.store), lambda: None
        )
        with exchange_harness.store.read() as tx:
            holder = find_credential_holder(tx, hub_token)
        assert holder is not None
        with pytest.raises(Unavailable):
            sealed.renew(holder)


class TestSetProject:
    def test_it_moves_the_session(self, exchange_harness: ExchangeHarness) -> None:
        hub_token, session = exchange_harness.start()
        before = exchange_harness.read(exchange_harness.renew(hub_token))
        done = exchange_harness.renew(hub_token, project="fraud")
        token = exchange_harness.read(done)
        assert (token.project, token.session_id, token.roles) == ("fraud", session, ("PROJECT_READER",))
        assert exchange_harness.ended(before) == "project-changed"
        assert exchange_harness.ended(token) is None
        assert exchange_harness.read(exchange_harness.renew(hub_token)).project == "fraud"
        assert exchange_harness.rows("session.project")[-1]["project"] == "fraud"

    @pytest.mark.proves("R53")
    @pytest.mark.parametrize("project", ["closed", "nowhere", "", "../churn", "system", "CHURN\n"])
    def test_only_into_projects_that_can_be_entered(self, exchange_harness: ExchangeHarness, project: str) -> None:
        hub_token, _ = exchange_harness.start()
        refused(exchange_harness, lambda: exchange_harness.renew(hub_token, project=project))
        assert exchange_harness.read(exchange_harness.renew(hub_token)).project == "churn"

    def test_only_where_the_deployment_allows_it(self, tmp_path: Path) -> None:
        exchange_harness = ExchangeHarness(tmp_path, session=SessionSettings(allow_set_project=False))
        hub_token, _ = exchange_harness.start()
        assert refused(exchange_harness, lambda: exchange_harness.renew(hub_token, project="fraud"))[0] == "denied"
        exchange_harness.store.close()


class TestNarrowing:
    @pytest.mark.proves("R53")
    def test_a_scope_narrows(self, exchange_harness: ExchangeHarness) -> None:
        hub_token, _ = exchange_harness.start()
        token = exchange_harness.read(exchange_harness.renew(hub_token, scope="list:training execute:training"))
        assert token.scope == {"list:training", "execute:training"}
        narrower = exchange_harness.read(exchange_harness.exchange.downscope(token, scope="list:training"))
        assert narrower.scope == {"list:training"}
        assert narrower.expires_at <= token.expires_at
        assert (narrower.session_id, narrower.project, narrower.subject) == (token.session_id, "churn", "alice")
        assert exchange_harness.read(exchange_harness.exchange.downscope(narrower, scope=None)).scope == {
            "list:training"
        }

    @pytest.mark.proves("R53")
    def test_no_exchange_widens_a_token(self, exchange_harness: ExchangeHarness) -> None:
        hub_token, _ = exchange_harness.start()
        token = exchange_harness.read(exchange_harness.renew(hub_token, scope="list:training"))
        for scope in ("list", "*", "execute:training", "list:training execute:training", "list:*", "*:training"):
            assert (
                refused(exchange_harness, lambda scope=scope: exchange_harness.exchange.downscope(token, scope=scope))[
                    0
                ]
                == "denied"
            )
        assert (
            refused(exchange_harness, lambda: exchange_harness.exchange.downscope(token, scope=None, project="fraud"))[
                0
            ]
            == "denied"
        )

    @pytest.mark.proves("R53", "R45")
    def test_it_never_lives_longer(self, exchange_harness: ExchangeHarness) -> None:
        _, session = exchange_harness.start()
        with exchange_harness.store.read() as tx:
            own, now = exchange_harness.settings.service_url, tx.now
            text = issue_role_token(
                exchange_harness.keys.ring(tx), own, own, subject="alice", session_id=session, project="churn",
                roles=(), revision=tx.revision, now=now - timedelta(seconds=290),
            )  # fmt: skip
            token = RoleTokenVerifier(exchange_harness.keys.ring(tx), own, own).verify(text, now)
        narrower = exchange_harness.exchange.downscope(token, scope="list:training")
        assert exchange_harness.read(narrower).expires_at == token.expires_at
        assert narrower.expires_in <= 11

    @pytest.mark.proves("R54")
    def test_an_impersonation_token_is_not_exchanged(self, exchange_harness: ExchangeHarness) -> None:
        hub_token, session = exchange_harness.start()
        with exchange_harness.store.read() as tx:
            own = exchange_harness.settings.service_url
            text = issue_role_token(
                exchange_harness.keys.ring(tx), own, own, subject="alice", session_id=session, project="churn",
                roles=(), revision=tx.revision, now=tx.now, actor="user:bob",
            )  # fmt: skip
            token = RoleTokenVerifier(exchange_harness.keys.ring(tx), own, own).verify(text, tx.now)
        code, row = refused(exchange_harness, lambda: exchange_harness.exchange.downscope(token, scope="list:training"))
        assert code == "acting"
        assert (row["identity"], row["acting"]) == ("user:alice", "user:bob")
        assert refused(exchange_harness, lambda: exchange_harness.renew(hub_token, role_token=token))[0] == "acting"

    @pytest.mark.parametrize(
        "scope",
        ["", " ", "Execute:training", "a  b", "execute:training\n", "x:y:z", " ".join("abcde" for _ in range(65))],
    )
    def test_a_scope_that_cannot_be_read(self, exchange_harness: ExchangeHarness, scope: str) -> None:
        hub_token, _ = exchange_harness.start()
        assert refused(exchange_harness, lambda: exchange_harness.renew(hub_token, scope=scope))[0] == "bad-input"

    words = st.sampled_from(["*", "list", "execute", "training", "model"])
    lists = st.lists(st.builds(lambda verb, noun: f"{verb}:{noun}", words, words), min_size=1, max_size=4)

    @pytest.mark.proves("R49", "R53")
    @given(chain=st.lists(lists, min_size=2, max_size=4), asked=st.builds(Permission, words, words))
    @settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    def test_no_chain_of_exchanges_ever_gains_a_permission(
        self, exchange_harness: ExchangeHarness, chain: list[list[str]], asked: Permission
    ) -> None:
        hub_token, _ = exchange_harness.start()
        token = exchange_harness.read(exchange_harness.renew(hub_token, scope=" ".join(chain[0])))
        for wanted in chain[1:]:
            try:
                narrower = exchange_harness.read(exchange_harness.exchange.downscope(token, scope=" ".join(wanted)))
            except Denied:
                continue
            assert narrower.excludes(asked) or not token.excludes(asked)
            token = narrower


class TestRevocation:
    def revoke(self, exchange_harness: ExchangeHarness, token: RoleToken) -> bool:
        with exchange_harness.store.write(
            Actor(Identity.user(token.subject), Channel.KERNEL, session=token.session_id)
        ) as tx:
            return revoke_session_tokens(tx, exchange_harness.keys.ring(tx), token)

    @pytest.mark.proves("R52")
    def test_it_ends_what_was_issued_and_not_what_comes(self, exchange_harness: ExchangeHarness) -> None:
        hub_token, _ = exchange_harness.start()
        first, second = (exchange_harness.read(exchange_harness.renew(hub_token)) for _ in range(2))
        assert self.revoke(exchange_harness, first)
        assert exchange_harness.ended(first) == exchange_harness.ended(second) == "revoked"
        third = exchange_harness.read(exchange_harness.renew(hub_token))
        assert exchange_harness.ended(third) is None
        # A revoked token cannot be used to revoke a new one.
        assert not self.revoke(exchange_harness, first)
        assert exchange_harness.ended(third) is None
        assert len(exchange_harness.rows("token.revoked")) == 1

    @pytest.mark.proves("R52")
    def test_it_touches_no_other_session(self, exchange_harness: ExchangeHarness) -> None:
        mine, theirs = exchange_harness.start("alice")[0], exchange_harness.start("bob")[0]
        other_server = exchange_harness.start("alice", server="second")[0]
        tokens = [exchange_harness.read(exchange_harness.renew(one)) for one in (mine, theirs, other_server)]
        self.revoke(exchange_harness, tokens[0])
        assert [exchange_harness.ended(token) for token in tokens] == ["revoked", None, None]


@pytest.mark.proves("R47", "R48")
@pytest.mark.parametrize(("whose", "name"), [("user", "alice"), ("project", "churn"), ("all", "")])
def test_every_token_issued_so_far_is_ended(exchange_harness: ExchangeHarness, whose: str, name: str) -> None:
    hub_token, session = exchange_harness.start()
    theirs, _ = exchange_harness.start("bob", "fraud")
    token, other = (
        exchange_harness.read(exchange_harness.renew(hub_token)),
        exchange_harness.read(exchange_harness.renew(theirs)),
    )
    assert exchange_harness.ended(token) is None

    def again() -> RoleToken:
        exchange_harness.do(lambda tx: token_revocation.revoke_tokens(tx, RevocationTarget(whose), name))
        assert exchange_harness.ended(token) == "revoked"
        assert (
            refused(exchange_harness, lambda: exchange_harness.exchange.downscope(token, scope="list:training"))[0]
            == "revoked"
        )
        renewed = exchange_harness.read(exchange_harness.renew(hub_token))
        assert renewed.session_id == session
        assert exchange_harness.ended(renewed) is None, "a renewal is good at once, also within the same second"
        return renewed

    for _ in range(3):
        token = again()
    assert exchange_harness.ended(other) == ("revoked" if whose == "all" else None)


@pytest.mark.proves("R47", "T-41")
@pytest.mark.parametrize(("whose", "name"), [("user", "alice"), ("project", "churn"), ("all", "")])
def test_neither_the_time_nor_the_revision_in_a_token_saves_it(
    exchange_harness: ExchangeHarness, whose: str, name: str
) -> None:
    hub_token, _ = exchange_harness.start()
    token = exchange_harness.read(exchange_harness.renew(hub_token))
    ahead = replace(
        token, issued_at=token.issued_at + timedelta(seconds=20)
    )  # issued by a clock that was set back later
    forged = replace(token, revision=1 << 40, issued_at=token.issued_at - timedelta(seconds=1))
    assert [exchange_harness.ended(one) for one in (ahead, forged)] == [None, None]
    exchange_harness.do(lambda tx: token_revocation.revoke_tokens(tx, RevocationTarget(whose), name))
    assert [exchange_harness.ended(one) for one in (ahead, forged)] == ["revoked", "revoked"]


@pytest.mark.proves("T-41")
def test_a_stolen_signing_key_gives_no_session(exchange_harness: ExchangeHarness) -> None:
    _, session = exchange_harness.start("bob")
    with exchange_harness.store.read() as tx:
        ring, own = exchange_harness.keys.ring(tx), exchange_harness.settings.service_url

        def forge(**changes: Any) -> RoleToken:
            claims = {
                "subject": "alice",
                "session_id": new_id(),
                "project": "churn",
                "revision": tx.revision,
                **changes,
            }
            text = issue_role_token(ring, own, own, roles=["AIZEN_ADMIN"], now=tx.now, **claims)
            return RoleTokenVerifier(ring, own, own).verify(text, tx.now)

        for token in (forge(), forge(session_id=session), forge(subject="root", session_id=session)):
            assert token_invalid_reason(tx, ring, token) == ("session-ended", "the token's session has ended")
    assert ring.signer(Purpose.ROLE)


@pytest.mark.proves("R56", "R98")
def test_no_secret_is_in_the_database_or_in_a_refusal(exchange_harness: ExchangeHarness, tmp_path: Path) -> None:
    hub_token, _ = exchange_harness.start()
    issued = exchange_harness.renew(hub_token, scope="list:training")
    secrets = [hub_token, issued.token, issued.token.split(".")[2], new_credential()]
    for operation in (
        lambda: exchange_harness.renew(secrets[3]),
        lambda: exchange_harness.renew(issued.token),
        lambda: exchange_harness.renew(hub_token, scope="Not A Scope"),
        lambda: exchange_harness.exchange.downscope(exchange_harness.read(issued), scope="*"),
    ):
        with pytest.raises(Problem) as caught:
            operation()
        shown = f"{caught.value!r} {caught.value.to_json()}"
        assert not any(secret in shown for secret in secrets)
    exchange_harness.store.close()
    content = b"".join(file.read_bytes() for file in tmp_path.iterdir() if file.is_file())
    assert not any(secret.encode() in content for secret in secrets)


@pytest.mark.proves("T-37")
def test_anonymous_refusals_cannot_fill_the_audit(exchange_harness: ExchangeHarness) -> None:
    for _ in range(100):
        with pytest.raises(NotAuthenticated):
            exchange_harness.renew(new_credential())
    assert 60 <= len(exchange_harness.rows()) <= 75


def test_the_audit_quota_counts_skipped_rows() -> None:
    quota, now = AuditQuota(burst=2, per_second=0.5), datetime(2026, 1, 1, tzinfo=UTC)
    assert [quota.acquire(now) for _ in range(5)] == [0, 0, None, None, None]
    assert quota.acquire(now + timedelta(seconds=2)) == 3
    assert quota.acquire(now - timedelta(days=1)) is None
    assert quota.acquire(now + timedelta(days=1)) == 1


@pytest.mark.proves("R127", "T-37")
def test_audit_quotas_are_separate_per_key_and_bounded() -> None:
    quotas, now = AuditQuotas(burst=1, per_second=0.5, limit=2), datetime(2026, 1, 1, tzinfo=UTC)
    assert [quotas.acquire(key, now) for key in ("a", "b", "a", "a")] == [0, 0, None, None]
    assert quotas.acquire("c", now) == 0  # evicts b
    assert quotas.acquire("a", now + timedelta(seconds=2)) == 2
    assert quotas.acquire("b", now) == 0
    assert len(quotas._table) == 2
