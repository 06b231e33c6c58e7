"""Keys in the database: their life over revisions, several processes, and what a thief of the database gets."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from sqlalchemy import delete, insert, select, update

from aizen_hub.catalogs.loader import load_catalog
from aizen_hub.cli.commands.keys import keys as keys_command
from aizen_hub.problems import Conflict, NotFound, Unavailable
from aizen_hub.rbac.identity import Identity
from aizen_hub.settings import Settings
from aizen_hub.store import tables
from aizen_hub.store.actor import Actor, Road
from aizen_hub.store.keystore import KeyStore
from aizen_hub.store.store import Store
from aizen_hub.tokens.jws import TokenRefused
from aizen_hub.tokens.key_encryption import KeyEncryption
from aizen_hub.tokens.keys import KeyRing, KeyState, Purpose, SigningKey
from aizen_hub.tokens.opaque_token import new_id
from aizen_hub.tokens.role_token import Verifier, issue
from tests.fixtures.sqlite import lay_down

OPERATOR = Actor(Identity.service_account("operator"), Road.OPERATOR)
CATALOG = load_catalog("aizen")


class Home:
    """A store with its keys, as one process sees them."""

    def __init__(self, folder: Path) -> None:
        self.settings = Settings(data_dir=lay_down(folder))
        self.store = Store.open(self.settings, CATALOG)
        self.keys = KeyStore.open(self.settings, self.store)

    @property
    def ring(self) -> KeyRing:
        with self.store.read() as tx:
            return self.keys.ring(tx)

    @property
    def revision(self) -> int:
        with self.store.read() as tx:
            return tx.revision

    def signing(self, purpose: Purpose = Purpose.ROLE) -> str:
        return self.ring.signer(purpose)[0].kid

    def token(self) -> str:
        with self.store.read() as tx:
            return issue(
                self.keys.ring(tx), "i", "i", subject="alice", session=new_id(), project=None, roles=(),
                revision=tx.revision, now=tx.now,
            )  # fmt: skip

    def accepts(self, token: str) -> bool:
        with self.store.read() as tx:
            try:
                return bool(Verifier(self.keys.ring(tx), "i", "i").verify(token, tx.now))
            except TokenRefused:
                return False

    def close(self) -> None:
        self.store.close()


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    home = Home(tmp_path)
    yield home
    home.close()


@pytest.fixture
def other(home: Home, tmp_path: Path) -> Iterator[Home]:
    """A second process on the same database."""
    other = Home(tmp_path)
    yield other
    other.close()


def test_the_first_start_makes_keys_for_every_purpose(home: Home) -> None:
    assert not home.ring.is_sealed
    states = {(key.purpose, key.state) for key in home.ring.keys}
    assert states == {(purpose, state) for purpose in Purpose for state in (KeyState.SIGNING, KeyState.PUBLISHED)}
    with home.store.read() as tx:
        assert tx.conn.scalar(select(tables.audit.c.event).where(tables.audit.c.event == "key.signing").limit(1))


def test_a_second_start_makes_none(home: Home, other: Home) -> None:
    assert [key.kid for key in other.ring.keys] == [key.kid for key in home.ring.keys]
    assert other.accepts(home.token())


def test_the_ring_is_one_object_as_long_as_no_key_changes(home: Home) -> None:
    before = home.ring
    with home.store.write(OPERATOR) as tx:
        tx.change("test", {}, ["user:nobody"])
    assert home.ring is before
    with home.store.write(OPERATOR) as tx:
        home.keys.rotate(tx, Purpose.ROLE)
    assert home.ring is not before
    assert before.signer(Purpose.ROLE)[0].kid != home.signing()


@pytest.mark.proves("R47")
def test_rotation_costs_no_token_and_names_the_key_that_was_published(home: Home, other: Home) -> None:
    old, token = home.signing(), home.token()
    published = next(
        key.kid for key in home.ring.keys if (key.purpose, key.state) == (Purpose.ROLE, KeyState.PUBLISHED)
    )
    before = home.revision
    with home.store.write(OPERATOR) as tx:
        assert home.keys.rotate(tx, Purpose.ROLE).kid == published
    assert home.revision == before + 1
    for one in (home, other):
        assert one.signing() == published
        assert one.accepts(token)
        assert one.accepts(home.token())
    with home.store.read() as tx:
        row = tx.conn.execute(select(tables.keys).where(tables.keys.c.kid == old)).one()
        assert row.state == "retired"
    assert len(home.ring.keys) == 2 * len(Purpose) + 1


@pytest.mark.proves("R47", "R48", "R136")
def test_withdrawal_ends_tokens_on_every_process_at_its_revision(home: Home, other: Home) -> None:
    old, token = home.signing(), home.token()
    assert other.accepts(token)
    with home.store.write(OPERATOR) as tx:
        assert home.keys.withdraw(tx, [old], "leaked") == (old,)
    for one in (home, other):
        assert not one.accepts(token)
        assert not one.ring.is_sealed
        assert one.accepts(one.token())
        assert old not in [key["kid"] for key in one.ring.jwks(one.ring.keys[0].created)["keys"]]
    with home.store.read() as tx:
        assert tx.conn.scalar(select(tables.keys.c.private).where(tables.keys.c.kid == old)) is None


@pytest.mark.proves("R136")
def test_every_key_can_be_replaced_at_once(home: Home) -> None:
    before, token = {key.kid for key in home.ring.keys}, home.token()
    with home.store.write(OPERATOR) as tx:
        home.keys.withdraw(tx, before, "the machine was lost")
    assert not home.ring.is_sealed
    assert not home.accepts(token)
    assert home.accepts(home.token())
    live = {key.kid for key in home.ring.keys if key.state is not KeyState.WITHDRAWN}
    assert len(live) == 2 * len(Purpose)
    assert not live & before


def test_a_change_that_is_rolled_back_leaves_no_trace(home: Home) -> None:
    before = home.ring

    def rotate_and_fail() -> None:
        with home.store.write(OPERATOR) as tx:
            new = home.keys.rotate(tx, Purpose.ROLE)
            assert home.keys.ring(tx).signer(Purpose.ROLE)[0].kid == new.kid
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        rotate_and_fail()
    with home.store.write(OPERATOR) as tx:
        tx.change("test", {}, ["user:nobody"])  # the very revision that the rolled back change would have had
    assert home.ring is before


@pytest.mark.parametrize("kid", ["", "x", "short", "nothing-begins-like-this", "' OR 1=1 --"])
def test_an_unknown_key_is_not_withdrawn(home: Home, kid: str) -> None:
    before = home.revision
    with pytest.raises(NotFound), home.store.write(OPERATOR) as tx:
        home.keys.withdraw(tx, [home.signing(), kid], "")
    assert home.revision == before


def test_a_key_is_withdrawn_once(home: Home) -> None:
    kid = home.signing()
    with home.store.write(OPERATOR) as tx:
        home.keys.withdraw(tx, [kid[:8], kid], "")
    with pytest.raises(Conflict), home.store.write(OPERATOR) as tx:
        home.keys.withdraw(tx, [kid], "")


class TestSealed:
    @pytest.mark.proves("R7")
    def test_without_the_file_nothing_is_signed_and_no_new_file_is_made(self, home: Home, tmp_path: Path) -> None:
        token = home.token()
        path = home.settings.key_encryption_path
        path.rename(tmp_path / "kept")
        sealed = Home(tmp_path)
        assert sealed.ring.is_sealed
        assert "does not exist" in (sealed.ring.sealed or "")
        with pytest.raises(Unavailable):
            sealed.token()
        with pytest.raises(Unavailable), sealed.store.write(OPERATOR) as tx:
            sealed.keys.rotate(tx, Purpose.ROLE)
        assert not path.exists()
        sealed.close()
        (tmp_path / "kept").rename(path)
        again = Home(tmp_path)
        assert again.accepts(token)
        again.close()

    @pytest.mark.proves("R7")
    def test_under_another_file_nothing_is_signed(self, home: Home, tmp_path: Path) -> None:
        home.settings.key_encryption_path.unlink()
        KeyEncryption.make(home.settings.key_encryption_path)
        sealed = Home(tmp_path)
        assert sealed.ring.is_sealed
        assert "another key" in (sealed.ring.sealed or "")
        assert not sealed.accepts(home.token())
        sealed.close()

    @pytest.mark.proves("R3", "R7")
    def test_a_file_that_others_can_read_seals(self, home: Home, tmp_path: Path) -> None:
        home.settings.key_encryption_path.chmod(0o644)
        sealed = Home(tmp_path)
        assert sealed.ring.is_sealed
        sealed.close()

    def test_keys_can_be_withdrawn_while_sealed(self, home: Home, tmp_path: Path) -> None:
        kid, token = home.signing(), home.token()
        home.settings.key_encryption_path.rename(tmp_path / "kept")
        sealed = Home(tmp_path)
        with sealed.store.write(OPERATOR) as tx:
            sealed.keys.withdraw(tx, [kid], "")
        sealed.close()
        assert not home.accepts(token)


class TestThief:
    """Somebody who can write to the database and does not have the key-encryption file."""

    def put(self, home: Home, key: SigningKey, state: str, private: bytes | None) -> None:
        with home.store.write(OPERATOR) as tx:
            tx.conn.execute(
                insert(tables.keys).values(
                    kid=key.kid,
                    purpose="role",
                    public=key.public_bytes,
                    private=private,
                    state=state,
                    created=tx.now,
                    changed=tx.now,
                )
            )
            tx.change("key", {}, ["*"])

    @pytest.mark.proves("T-38")
    @pytest.mark.parametrize("state", ["published", "signing", "retired"])
    def test_a_key_of_their_own_is_no_key(self, home: Home, tmp_path: Path, state: str) -> None:
        with home.store.read() as tx:
            key = SigningKey.new(Purpose.ROLE, tx.now)
        token = issue(
            KeyRing([key]), "i", "i", subject="alice", session=new_id(), project=None, roles=(), revision=1,
            now=key.created,
        )  # fmt: skip
        theirs = KeyEncryption.make(tmp_path / "theirs")
        for private in (None, b"", key.seal(theirs), theirs.seal(b"retired", key.kid)):
            self.put(home, key, state, private)
            assert home.ring.verifier(Purpose.ROLE, key.kid) is None
            assert not home.accepts(token)
            assert not home.ring.is_sealed
            with home.store.write(OPERATOR) as tx:
                tx.conn.execute(delete(tables.keys).where(tables.keys.c.kid == key.kid))
                tx.change("key", {}, ["*"])

    @pytest.mark.proves("T-38")
    def test_a_withdrawn_or_retired_key_cannot_be_brought_back(self, home: Home) -> None:
        old, token = home.signing(), home.token()
        with home.store.write(OPERATOR) as tx:
            home.keys.rotate(tx, Purpose.ROLE)
        retired = home.signing()
        with home.store.write(OPERATOR) as tx:
            home.keys.withdraw(tx, [old], "")
        for kid, state in ((old, "published"), (old, "retired"), (old, "signing")):
            with home.store.write(OPERATOR) as tx:
                tx.conn.execute(update(tables.keys).where(tables.keys.c.kid == kid).values(state=state))
                tx.change("key", {}, ["*"])
            assert home.ring.verifier(Purpose.ROLE, kid) is None
            assert not home.accepts(token)
        assert home.ring.verifier(Purpose.ROLE, retired)

    def test_the_halves_of_two_keys_cannot_be_swapped(self, home: Home) -> None:
        one, two = (key for key in home.ring.keys if key.purpose is Purpose.ROLE)
        with home.store.write(OPERATOR) as tx:
            tx.conn.execute(update(tables.keys).where(tables.keys.c.kid == one.kid).values(public=two.public_bytes))
            tx.change("key", {}, ["*"])
        assert home.ring.verifier(Purpose.ROLE, one.kid) is None
        assert home.ring.verifier(Purpose.ROLE, two.kid)

    @pytest.mark.proves("R98")
    def test_no_private_half_is_in_the_files_of_the_database(self, home: Home, tmp_path: Path) -> None:
        secrets = [key.private.private_bytes_raw() for key in home.ring.keys if key.private]
        content = b"".join(file.read_bytes() for file in tmp_path.iterdir() if file.is_file())
        assert len(secrets) == 2 * len(Purpose)
        for secret in secrets:
            assert secret not in content
            assert secret.hex().encode() not in content


class TestCommandLine:
    def run(self, home: Home, *arguments: str, stdin: str | None = None) -> tuple[int, str]:
        path = home.settings.data_dir / "aizen.yaml"
        path.write_text(f"data_dir: {home.settings.data_dir}\n")
        name, *rest = arguments
        done = CliRunner().invoke(keys_command, [name, "-c", str(path), *rest], input=stdin, standalone_mode=False)
        assert done.exception is None or isinstance(done.exception, click.Abort), done.exception
        return (done.return_value if done.exception is None else 1), done.output

    def test_list(self, home: Home) -> None:
        code, text = self.run(home, "list", "-o", "json")
        assert code == 0
        assert {row["kid"] for row in json.loads(text)} == {key.kid for key in home.ring.keys}

    def test_rotate(self, home: Home) -> None:
        before = home.signing(), home.signing(Purpose.DECISION)
        code, _ = self.run(home, "rotate", "--purpose", "role")
        assert code == 0
        assert home.signing() != before[0]
        assert home.signing(Purpose.DECISION) == before[1]
        self.run(home, "rotate")
        assert home.signing(Purpose.DECISION) != before[1]

    def test_withdraw_asks_first(self, home: Home) -> None:
        kid = home.signing()
        code, _ = self.run(home, "withdraw", kid, stdin="n\n")
        assert code != 0
        assert home.signing() == kid
        code, _ = self.run(home, "withdraw", kid[:10], "--yes", "--reason", "leaked")
        assert code == 0
        assert home.signing() != kid

    @pytest.mark.proves("R136")
    def test_withdraw_all(self, home: Home) -> None:
        token = home.token()
        code, _ = self.run(home, "withdraw", "--all", "--yes")
        assert code == 0
        assert not home.accepts(token)
        assert home.accepts(home.token())

    def test_list_says_when_the_service_is_sealed(self, home: Home) -> None:
        home.settings.key_encryption_path.unlink()
        code, text = self.run(home, "list")
        assert code == 7
        assert "sealed" in text
