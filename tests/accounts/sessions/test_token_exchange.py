"""Exchange, narrowing, revocation and the early ends of a role token, on a real store."""

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

from aizen_hub.accounts.audit_quota import Ration, Rations
from aizen_hub.accounts.projects import projects
from aizen_hub.accounts.roles import assignments
from aizen_hub.accounts.sessions import locks, sessions
from aizen_hub.accounts.sessions import token_revocation as revocation
from aizen_hub.accounts.sessions.token_exchange import Exchange, Exchanged, find, unknown_credential
from aizen_hub.accounts.sessions.token_revocation import Whose
from aizen_hub.accounts.users import users
from aizen_hub.authorization.decisions.token_status import ended_because, revoke
from aizen_hub.catalogs.loader import load_catalog
from aizen_hub.problems import BadInput, Denied, NotAuthenticated, NotFound, Problem, Unavailable
from aizen_hub.rbac.assignment import LockTarget
from aizen_hub.rbac.identity import Identity
from aizen_hub.rbac.permission import Permission
from aizen_hub.settings import ProviderSettings, SessionSettings, Settings
from aizen_hub.store import tables
from aizen_hub.store.actor import Actor, Road
from aizen_hub.store.keystore import KeyStore
from aizen_hub.store.store import Store
from aizen_hub.store.transaction import Write
from aizen_hub.tokens.keys import Purpose
from aizen_hub.tokens.opaque_token import hash_credential, new_credential, new_id
from aizen_hub.tokens.role_token import RoleToken, Verifier, issue
from tests.fixtures.sqlite import lay_down

OPERATOR = Actor(Identity.service_account("operator"), Road.OPERATOR)
HUB = Actor(Identity.service_account("hub"), Road.HUB)
CATALOG = load_catalog("aizen")


class Town:
    """A store with two projects, `churn` and `fraud`, and people in them."""

    def __init__(self, folder: Path, **changes: Any) -> None:
        provider = ProviderSettings(name="ldap", kind="ldap")
        self.settings = Settings(data_dir=lay_down(folder), providers=(provider,), admin_user="ldap:root", **changes)
        self.store = Store.open(self.settings, CATALOG)
        self.keys = KeyStore.open(self.settings, self.store)
        self.exchange = Exchange(self.store, self.keys, lambda: None)
        with self.store.write(OPERATOR) as tx:
            for name in ("alice", "bob"):
                users.register(tx, name, provider="ldap")
            for name in ("churn", "fraud", "closed"):
                projects.create(tx, name, owner=Identity.user("bob"))
            assignments.grant(tx, ["PROJECT_EXECUTOR"], "churn", Identity.user("alice"))
            assignments.grant(tx, ["PROJECT_READER"], "fraud", Identity.user("alice"))

    def start(self, user: str = "alice", project: str | None = "churn", server: str = "") -> tuple[str, str]:
        """Open a session; returns the server's hub token and the session's id."""
        token = new_credential()
        with self.store.write(HUB) as tx:
            opened = sessions.open(tx, user, user, server, project, hash_credential(token))
        return token, opened.session_id

    def renew(self, hub_token: str, *, beside: RoleToken | None = None, **more: Any) -> Exchanged:
        """Exchange a hub token as the service does."""
        with self.store.read() as tx:
            holder = find(tx, hub_token)
        if holder is None:
            note = self.exchange.note_unknown(beside, None)
            if note is not None:
                note()
            raise unknown_credential()
        return self.exchange.renew(holder, beside=beside, **more)

    def read(self, done: Exchanged) -> RoleToken:
        with self.store.read() as tx:
            own = self.settings.service_url
            return Verifier(self.keys.ring(tx), own, own).verify(done.text, tx.now)

    def ended(self, token: RoleToken) -> str | None:
        with self.store.read() as tx:
            found = ended_because(tx, self.keys.ring(tx), token)
        return None if found is None else found[0]

    def rows(self, event: str = "exchange") -> list[dict[str, Any]]:
        with self.store.read() as tx:
            found = tx.conn.execute(
                select(tables.audit.c.body).where(tables.audit.c.event == event).order_by(tables.audit.c.number)
            )
            return [json.loads(row.body) for row in found]

    def do(self, work: Any) -> None:
        with self.store.write(OPERATOR) as tx:
            work(tx)


@pytest.fixture
def town(tmp_path: Path) -> Iterator[Town]:
    town = Town(tmp_path)
    yield town
    town.store.close()


def refused(town: Town, work: Any) -> tuple[str, dict[str, Any]]:
    """Run what must be refused; returns its code and the audit row that it left."""
    before = len(town.rows())
    with pytest.raises((NotAuthenticated, Denied, NotFound, BadInput)) as caught:
        work()
    rows = town.rows()
    assert len(rows) == before + 1
    assert rows[-1]["allowed"] is False
    return str(caught.value.more.get("code", caught.value.slug)), rows[-1]


@pytest.mark.proves("R46")
def test_a_renewal_gives_what_the_session_has_now(town: Town) -> None:
    hub_token, session = town.start()
    done = town.renew(hub_token)
    token = town.read(done)
    assert (token.subject, token.session, token.project) == ("alice", session, "churn")
    assert token.roles == ("PROJECT_EXECUTOR",)
    assert (token.scope, token.actor) == (None, None)
    assert done.expires_in == 300
    assert town.ended(token) is None
    row = town.rows()[-1]
    assert (row["allowed"], row["identity"], row["session"], row["project"]) == (True, "user:alice", session, "churn")
    assert row["details"]["issued"] == token.token_id

    town.do(lambda tx: assignments.grant(tx, ["PROJECT_ADMIN"], "churn", Identity.user("alice")))
    again = town.read(town.renew(hub_token))
    assert again.roles == ("PROJECT_ADMIN", "PROJECT_EXECUTOR")
    assert again.revision > token.revision


class TestNoRenewal:
    """What ends the right to renew, at once (R46)."""

    @pytest.mark.proves("R46", "R50", "T-09")
    def test_with_a_credential_that_is_no_session_s(self, town: Town) -> None:
        town.start()
        for guess in (new_credential(), "", " ", "x" * 8192, "\ud800", hash_credential("x")):
            assert refused(town, lambda guess=guess: town.renew(guess))[0] == "unknown"

    @pytest.mark.proves("R50", "T-09")
    def test_with_the_hash_instead_of_the_credential(self, town: Town) -> None:
        hub_token, _ = town.start()
        assert refused(town, lambda: town.renew(hash_credential(hub_token)))[0] == "unknown"

    @pytest.mark.proves("R50", "T-09")
    def test_with_another_server_s_hub_token(self, town: Town) -> None:
        of_alice, session = town.start("alice")
        of_bob, _ = town.start("bob")
        stolen = town.read(town.renew(of_alice))
        code, row = refused(town, lambda: town.renew(of_bob, beside=stolen))
        assert code == "another-session"
        assert (row["identity"], row["token_id"]) == ("user:bob", stolen.token_id)
        code, row = refused(town, lambda: town.renew(new_credential(), beside=stolen))
        assert code == "unknown"
        assert (row["identity"], row["session"]) == ("user:alice", session)
        assert town.renew(of_alice, beside=stolen)

    @pytest.mark.proves("T-13")
    def test_with_a_role_token_in_place_of_the_hub_token(self, town: Town) -> None:
        hub_token, _ = town.start()
        text = town.renew(hub_token).text
        assert refused(town, lambda: town.renew(text))[0] == "unknown"

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
    def test_after(self, town: Town, event: str, code: str | None) -> None:
        hub_token, session = town.start()
        good = town.read(town.renew(hub_token))
        assert town.ended(good) is None
        alice = Identity.user("alice")
        happenings: dict[str, Any] = {
            "stopped": lambda tx: sessions.end(tx, "alice", "", "stopped"),
            "restarted": lambda tx: sessions.open(tx, "alice", "alice", "", "churn", hash_credential(new_id())),
            "ended by id": lambda tx: sessions.end_session(tx, session, "admin"),
            "locked": lambda tx: locks.lock(tx, LockTarget.IDENTITY, str(alice), reason="x"),
            "session locked": lambda tx: locks.lock(tx, LockTarget.SESSION, session, reason="x"),
            "project locked": lambda tx: locks.lock(tx, LockTarget.PROJECT, "churn", reason="x"),
            "inactive": lambda tx: self.switch_off(tx),
            "deleted": lambda tx: users.remove(tx, ["alice"]),
            "project deleted": lambda tx: projects.remove(tx, "churn"),
            "unheard": lambda tx: tx.conn.execute(
                update(tables.sessions).values(heard=tx.now - timedelta(hours=1), started=tx.now - timedelta(hours=2))
            ),
        }
        town.do(happenings[event])
        found, row = refused(town, lambda: town.renew(hub_token))
        assert code is None or found == code
        assert row["session"] == session
        if event != "unheard":
            assert town.ended(good) is not None
            assert refused(town, lambda: town.exchange.narrow(good, scope="list:training"))

    def switch_off(self, tx: Write) -> None:
        tx.conn.execute(update(tables.users).where(tables.users.c.name == "alice").values(active=False))
        tx.change("user", {}, ["user:alice"])

    @pytest.mark.proves("R7")
    def test_while_sealed(self, town: Town) -> None:
        hub_token, _ = town.start()
        town.settings.key_encryption_path.unlink()
        sealed = Exchange(town.store, KeyStore.open(town.settings, town.store), lambda: None)
        with town.store.read() as tx:
            holder = find(tx, hub_token)
        assert holder is not None
        with pytest.raises(Unavailable):
            sealed.renew(holder)


class TestSetProject:
    def test_it_moves_the_session(self, town: Town) -> None:
        hub_token, session = town.start()
        before = town.read(town.renew(hub_token))
        done = town.renew(hub_token, project="fraud")
        token = town.read(done)
        assert (token.project, token.session, token.roles) == ("fraud", session, ("PROJECT_READER",))
        assert town.ended(before) == "project-changed"
        assert town.ended(token) is None
        assert town.read(town.renew(hub_token)).project == "fraud"
        assert town.rows("session.project")[-1]["project"] == "fraud"

    @pytest.mark.proves("R53")
    @pytest.mark.parametrize("project", ["closed", "nowhere", "", "../churn", "system", "CHURN\n"])
    def test_only_into_projects_that_can_be_entered(self, town: Town, project: str) -> None:
        hub_token, _ = town.start()
        refused(town, lambda: town.renew(hub_token, project=project))
        assert town.read(town.renew(hub_token)).project == "churn"

    def test_only_where_the_deployment_allows_it(self, tmp_path: Path) -> None:
        town = Town(tmp_path, session=SessionSettings(allow_set_project=False))
        hub_token, _ = town.start()
        assert refused(town, lambda: town.renew(hub_token, project="fraud"))[0] == "denied"
        town.store.close()


class TestNarrowing:
    @pytest.mark.proves("R53")
    def test_a_scope_narrows(self, town: Town) -> None:
        hub_token, _ = town.start()
        token = town.read(town.renew(hub_token, scope="list:training execute:training"))
        assert token.scope == {"list:training", "execute:training"}
        narrower = town.read(town.exchange.narrow(token, scope="list:training"))
        assert narrower.scope == {"list:training"}
        assert narrower.expires_at <= token.expires_at
        assert (narrower.session, narrower.project, narrower.subject) == (token.session, "churn", "alice")
        assert town.read(town.exchange.narrow(narrower, scope=None)).scope == {"list:training"}

    @pytest.mark.proves("R53")
    def test_nothing_widens(self, town: Town) -> None:
        hub_token, _ = town.start()
        token = town.read(town.renew(hub_token, scope="list:training"))
        for scope in ("list", "*", "execute:training", "list:training execute:training", "list:*", "*:training"):
            assert refused(town, lambda scope=scope: town.exchange.narrow(token, scope=scope))[0] == "denied"
        assert refused(town, lambda: town.exchange.narrow(token, scope=None, project="fraud"))[0] == "denied"

    @pytest.mark.proves("R53", "R45")
    def test_it_never_lives_longer(self, town: Town) -> None:
        _, session = town.start()
        with town.store.read() as tx:
            own, now = town.settings.service_url, tx.now
            text = issue(
                town.keys.ring(tx), own, own, subject="alice", session=session, project="churn", roles=(),
                revision=tx.revision, now=now - timedelta(seconds=290),
            )  # fmt: skip
            token = Verifier(town.keys.ring(tx), own, own).verify(text, now)
        narrower = town.exchange.narrow(token, scope="list:training")
        assert town.read(narrower).expires_at == token.expires_at
        assert narrower.expires_in <= 11

    @pytest.mark.proves("R54")
    def test_an_acting_token_is_not_exchanged(self, town: Town) -> None:
        hub_token, session = town.start()
        with town.store.read() as tx:
            own = town.settings.service_url
            text = issue(
                town.keys.ring(tx), own, own, subject="alice", session=session, project="churn", roles=(),
                revision=tx.revision, now=tx.now, actor="user:bob",
            )  # fmt: skip
            token = Verifier(town.keys.ring(tx), own, own).verify(text, tx.now)
        code, row = refused(town, lambda: town.exchange.narrow(token, scope="list:training"))
        assert code == "acting"
        assert (row["identity"], row["acting"]) == ("user:alice", "user:bob")
        assert refused(town, lambda: town.renew(hub_token, beside=token))[0] == "acting"

    @pytest.mark.parametrize(
        "scope",
        ["", " ", "Execute:training", "a  b", "execute:training\n", "x:y:z", " ".join("abcde" for _ in range(65))],
    )
    def test_a_scope_that_cannot_be_read(self, town: Town, scope: str) -> None:
        hub_token, _ = town.start()
        assert refused(town, lambda: town.renew(hub_token, scope=scope))[0] == "bad-input"

    words = st.sampled_from(["*", "list", "execute", "training", "model"])
    lists = st.lists(st.builds(lambda verb, noun: f"{verb}:{noun}", words, words), min_size=1, max_size=4)

    @pytest.mark.proves("R49", "R53")
    @given(chain=st.lists(lists, min_size=2, max_size=4), asked=st.builds(Permission, words, words))
    @settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    def test_no_chain_of_exchanges_ever_gains_a_permission(
        self, town: Town, chain: list[list[str]], asked: Permission
    ) -> None:
        hub_token, _ = town.start()
        token = town.read(town.renew(hub_token, scope=" ".join(chain[0])))
        for wanted in chain[1:]:
            try:
                narrower = town.read(town.exchange.narrow(token, scope=" ".join(wanted)))
            except Denied:
                continue
            assert narrower.narrows(asked) or not token.narrows(asked)
            token = narrower


class TestRevocation:
    def revoke(self, town: Town, token: RoleToken) -> bool:
        with town.store.write(Actor(Identity.user(token.subject), Road.KERNEL, session=token.session)) as tx:
            return revoke(tx, town.keys.ring(tx), token)

    @pytest.mark.proves("R52")
    def test_it_ends_what_was_issued_and_not_what_comes(self, town: Town) -> None:
        hub_token, _ = town.start()
        first, second = (town.read(town.renew(hub_token)) for _ in range(2))
        assert self.revoke(town, first)
        assert town.ended(first) == town.ended(second) == "revoked"
        third = town.read(town.renew(hub_token))
        assert town.ended(third) is None
        # Whoever keeps a dead token cannot use it against a new one.
        assert not self.revoke(town, first)
        assert town.ended(third) is None
        assert len(town.rows("token.revoked")) == 1

    @pytest.mark.proves("R52")
    def test_it_touches_no_other_session(self, town: Town) -> None:
        mine, theirs = town.start("alice")[0], town.start("bob")[0]
        other_server = town.start("alice", server="second")[0]
        tokens = [town.read(town.renew(one)) for one in (mine, theirs, other_server)]
        self.revoke(town, tokens[0])
        assert [town.ended(token) for token in tokens] == ["revoked", None, None]


@pytest.mark.proves("R47", "R48")
@pytest.mark.parametrize(("whose", "name"), [("user", "alice"), ("project", "churn"), ("all", "")])
def test_every_token_issued_so_far_is_ended(town: Town, whose: str, name: str) -> None:
    hub_token, session = town.start()
    theirs, _ = town.start("bob", "fraud")
    token, other = town.read(town.renew(hub_token)), town.read(town.renew(theirs))
    assert town.ended(token) is None

    def again() -> RoleToken:
        town.do(lambda tx: revocation.revoke(tx, Whose(whose), name))
        assert town.ended(token) == "revoked"
        assert refused(town, lambda: town.exchange.narrow(token, scope="list:training"))[0] == "revoked"
        renewed = town.read(town.renew(hub_token))
        assert renewed.session == session
        assert town.ended(renewed) is None, "a renewal is good at once, also within the same second"
        return renewed

    for _ in range(3):
        token = again()
    assert town.ended(other) == ("revoked" if whose == "all" else None)


@pytest.mark.proves("R47", "T-41")
@pytest.mark.parametrize(("whose", "name"), [("user", "alice"), ("project", "churn"), ("all", "")])
def test_neither_the_time_nor_the_revision_in_a_token_saves_it(town: Town, whose: str, name: str) -> None:
    hub_token, _ = town.start()
    token = town.read(town.renew(hub_token))
    ahead = replace(token, issued_at=token.issued_at + timedelta(seconds=20))  # of a clock that was set back since
    forged = replace(token, revision=1 << 40, issued_at=token.issued_at - timedelta(seconds=1))
    assert [town.ended(one) for one in (ahead, forged)] == [None, None]
    town.do(lambda tx: revocation.revoke(tx, Whose(whose), name))
    assert [town.ended(one) for one in (ahead, forged)] == ["revoked", "revoked"]


@pytest.mark.proves("T-41")
def test_a_stolen_signing_key_gives_no_session(town: Town) -> None:
    _, session = town.start("bob")
    with town.store.read() as tx:
        ring, own = town.keys.ring(tx), town.settings.service_url

        def forge(**changes: Any) -> RoleToken:
            claims = {"subject": "alice", "session": new_id(), "project": "churn", "revision": tx.revision, **changes}
            text = issue(ring, own, own, roles=["AIZEN_ADMIN"], now=tx.now, **claims)
            return Verifier(ring, own, own).verify(text, tx.now)

        for token in (forge(), forge(session=session), forge(subject="root", session=session)):
            assert ended_because(tx, ring, token) == ("session-ended", "the token's session has ended")
    assert ring.signer(Purpose.ROLE)


@pytest.mark.proves("R56", "R98")
def test_no_secret_is_in_the_database_or_in_a_refusal(town: Town, tmp_path: Path) -> None:
    hub_token, _ = town.start()
    done = town.renew(hub_token, scope="list:training")
    secrets = [hub_token, done.text, done.text.split(".")[2], new_credential()]
    for work in (
        lambda: town.renew(secrets[3]),
        lambda: town.renew(done.text),
        lambda: town.renew(hub_token, scope="Not A Scope"),
        lambda: town.exchange.narrow(town.read(done), scope="*"),
    ):
        with pytest.raises(Problem) as caught:
            work()
        shown = f"{caught.value!r} {caught.value.to_json()}"
        assert not any(secret in shown for secret in secrets)
    town.store.close()
    content = b"".join(file.read_bytes() for file in tmp_path.iterdir() if file.is_file())
    assert not any(secret.encode() in content for secret in secrets)


@pytest.mark.proves("T-37")
def test_anonymous_refusals_cannot_fill_the_audit(town: Town) -> None:
    for _ in range(100):
        with pytest.raises(NotAuthenticated):
            town.renew(new_credential())
    assert 60 <= len(town.rows()) <= 75


def test_the_ration_counts_what_it_leaves_out() -> None:
    ration, now = Ration(burst=2, per_second=0.5), datetime(2026, 1, 1, tzinfo=UTC)
    assert [ration.take(now) for _ in range(5)] == [0, 0, None, None, None]
    assert ration.take(now + timedelta(seconds=2)) == 3
    assert ration.take(now - timedelta(days=1)) is None
    assert ration.take(now + timedelta(days=1)) == 1


@pytest.mark.proves("R127", "T-37")
def test_rations_by_key_are_each_one_s_own_and_bounded() -> None:
    rations, now = Rations(burst=1, per_second=0.5, most=2), datetime(2026, 1, 1, tzinfo=UTC)
    assert [rations.take(key, now) for key in ("a", "b", "a", "a")] == [0, 0, None, None]
    assert rations.take("c", now) == 0  # forgets b
    assert rations.take("a", now + timedelta(seconds=2)) == 2
    assert rations.take("b", now) == 0
    assert len(rations._table) == 2
