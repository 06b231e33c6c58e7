"""Signing keys in the database: over revisions, in several processes, and against an attacker with database access."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from sqlalchemy import delete, insert, select, update

from aizen_hub.audit.checkpoints.signing import signature_check
from aizen_hub.catalogs.loader import load_catalog
from aizen_hub.cli.commands.machine.keys import keys as keys_command
from aizen_hub.problems import Conflict, NotFound, Unavailable
from aizen_hub.rbac.identity import Identity
from aizen_hub.settings import Settings
from aizen_hub.store import tables
from aizen_hub.store.actor import Actor, Channel
from aizen_hub.store.keystore import KeyStore
from aizen_hub.store.sql_store import Store
from aizen_hub.tokens.jws import TokenError
from aizen_hub.tokens.key_encryption import WRONG_KEY, KeyEncryption
from aizen_hub.tokens.keys import KeyRing, KeyState, Purpose, SigningKey
from aizen_hub.tokens.opaque_token import new_id
from aizen_hub.tokens.role_token import RoleTokenVerifier, issue_role_token
from tests.fixtures.databases.sqlite import create_database_file

OPERATOR = Actor(Identity.service_account("operator"), Channel.OPERATOR)
CATALOG = load_catalog("aizen")


class KeyInstallation:
    """A store with its keys, as one process sees them."""

    def __init__(self, folder: Path) -> None:
        self.settings = Settings(data_dir=create_database_file(folder))
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
            return issue_role_token(
                self.keys.ring(tx), "i", "i", subject="alice", session_id=new_id(), project=None, roles=(),
                revision=tx.revision, now=tx.now,
            )  # fmt: skip

    def accepts(self, token: str) -> bool:
        with self.store.read() as tx:
            try:
                return bool(RoleTokenVerifier(self.keys.ring(tx), "i", "i").verify(token, tx.now))
            except TokenError:
                return False

    def close(self) -> None:
        self.store.close()


@pytest.fixture
def service(tmp_path: Path) -> Iterator[KeyInstallation]:
    service = KeyInstallation(tmp_path)
    yield service
    service.close()


@pytest.fixture
def replica(service: KeyInstallation, tmp_path: Path) -> Iterator[KeyInstallation]:
    """A second process on the same database."""
    replica = KeyInstallation(tmp_path)
    yield replica
    replica.close()


def test_the_first_start_creates_keys_for_every_purpose(service: KeyInstallation) -> None:
    assert not service.ring.is_sealed
    states = {(key.purpose, key.state) for key in service.ring.keys}
    assert states == {(purpose, state) for purpose in Purpose for state in (KeyState.SIGNING, KeyState.PUBLISHED)}
    with service.store.read() as tx:
        assert tx.conn.scalar(select(tables.audit.c.event).where(tables.audit.c.event == "key.signing").limit(1))


def test_a_second_start_creates_none(service: KeyInstallation, replica: KeyInstallation) -> None:
    assert [key.kid for key in replica.ring.keys] == [key.kid for key in service.ring.keys]
    assert replica.accepts(service.token())


def test_the_ring_is_one_object_as_long_as_no_key_changes(service: KeyInstallation) -> None:
    before = service.ring
    with service.store.write(OPERATOR) as tx:
        tx.record_change("test", {}, ["user:unknown"])
    assert service.ring is before
    with service.store.write(OPERATOR) as tx:
        service.keys.rotate(tx, Purpose.ROLE)
    assert service.ring is not before
    assert before.signer(Purpose.ROLE)[0].kid != service.signing()


@pytest.mark.proves("R47")
def test_rotation_keeps_tokens_valid_and_signs_with_the_published_key(
    service: KeyInstallation, replica: KeyInstallation
) -> None:
    old, token = service.signing(), service.token()
    published = next(
        key.kid for key in service.ring.keys if (key.purpose, key.state) == (Purpose.ROLE, KeyState.PUBLISHED)
    )
    before = service.revision
    with service.store.write(OPERATOR) as tx:
        assert service.keys.rotate(tx, Purpose.ROLE).kid == published
    assert service.revision == before + 1
    for process in (service, replica):
        assert process.signing() == published
        assert process.accepts(token)
        assert process.accepts(service.token())
    with service.store.read() as tx:
        row = tx.conn.execute(select(tables.keys).where(tables.keys.c.kid == old)).one()
        assert row.state == "retired"
    assert len(service.ring.keys) == 2 * len(Purpose) + 1


@pytest.mark.proves("R47", "R48", "R136")
def test_withdrawal_revokes_tokens_in_every_process(service: KeyInstallation, replica: KeyInstallation) -> None:
    old, token = service.signing(), service.token()
    assert replica.accepts(token)
    with service.store.write(OPERATOR) as tx:
        assert service.keys.withdraw(tx, [old], "leaked") == (old,)
    for process in (service, replica):
        assert not process.accepts(token)
        assert not process.ring.is_sealed
        assert process.accepts(process.token())
        assert old not in [key["kid"] for key in process.ring.jwks(process.ring.keys[0].created_at)["keys"]]
    with service.store.read() as tx:
        assert tx.conn.scalar(select(tables.keys.c.private).where(tables.keys.c.kid == old)) is None


@pytest.mark.proves("R136")
def test_every_key_can_be_replaced_at_once(service: KeyInstallation) -> None:
    before, token = {key.kid for key in service.ring.keys}, service.token()
    with service.store.write(OPERATOR) as tx:
        service.keys.withdraw(tx, before, "the machine was lost")
    assert not service.ring.is_sealed
    assert not service.accepts(token)
    assert service.accepts(service.token())
    live = {key.kid for key in service.ring.keys if key.state is not KeyState.WITHDRAWN}
    assert len(live) == 2 * len(Purpose)
    assert not live & before


def test_a_rolled_back_rotation_has_no_effect(service: KeyInstallation) -> None:
    before = service.ring

    def rotate_and_fail() -> None:
        with service.store.write(OPERATOR) as tx:
            new = service.keys.rotate(tx, Purpose.ROLE)
            assert service.keys.ring(tx).signer(Purpose.ROLE)[0].kid == new.kid
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        rotate_and_fail()
    with service.store.write(OPERATOR) as tx:
        tx.record_change("test", {}, ["user:unknown"])  # the revision that the rolled back change would have had
    assert service.ring is before


@pytest.mark.parametrize("kid", ["", "x", "short", "nothing-begins-like-this", "' OR 1=1 --"])
def test_an_unknown_key_is_not_withdrawn(service: KeyInstallation, kid: str) -> None:
    before = service.revision
    with pytest.raises(NotFound), service.store.write(OPERATOR) as tx:
        service.keys.withdraw(tx, [service.signing(), kid], "")
    assert service.revision == before


def test_a_key_is_withdrawn_once(service: KeyInstallation) -> None:
    kid = service.signing()
    with service.store.write(OPERATOR) as tx:
        service.keys.withdraw(tx, [kid[:8], kid], "")
    with pytest.raises(Conflict), service.store.write(OPERATOR) as tx:
        service.keys.withdraw(tx, [kid], "")


class TestSealed:
    @pytest.mark.proves("R7")
    def test_a_missing_file_seals_and_is_not_created(self, service: KeyInstallation, tmp_path: Path) -> None:
        token = service.token()
        path = service.settings.key_encryption_path
        path.rename(tmp_path / "moved")
        sealed = KeyInstallation(tmp_path)
        assert sealed.ring.is_sealed
        assert "does not exist" in (sealed.ring.sealed_reason or "")
        with pytest.raises(Unavailable):
            sealed.token()
        with pytest.raises(Unavailable), sealed.store.write(OPERATOR) as tx:
            sealed.keys.rotate(tx, Purpose.ROLE)
        assert not path.exists()
        sealed.close()
        (tmp_path / "moved").rename(path)
        restarted = KeyInstallation(tmp_path)
        assert restarted.accepts(token)
        restarted.close()

    @pytest.mark.needs("postgres")
    def test_a_new_installation_is_told_to_create_the_file(self, migrated_url: str, tmp_path: Path) -> None:
        settings = Settings(data_dir=tmp_path, database=migrated_url)
        store = Store.open(settings, CATALOG)
        keys = KeyStore.open(settings, store)
        for _ in range(2):
            keys.reload_file(settings.key_encryption_path)
            with store.read() as tx:
                ring = keys.ring(tx)
            assert ring.is_sealed
            assert "`aizen-hub keys init`" in ring.remedy
        store.close()

    @pytest.mark.proves("R7")
    def test_another_file_seals(self, service: KeyInstallation, tmp_path: Path) -> None:
        service.settings.key_encryption_path.unlink()
        KeyEncryption.create(service.settings.key_encryption_path)
        sealed = KeyInstallation(tmp_path)
        assert sealed.ring.is_sealed
        assert "another key" in (sealed.ring.sealed_reason or "")
        assert sealed.keys.file_fault == WRONG_KEY
        with pytest.raises(Unavailable):
            sealed.token()
        sealed.close()

    @pytest.mark.proves("R7")
    @pytest.mark.parametrize("wrong", [False, True])
    def test_the_file_is_read_again_until_it_can_be_used(
        self, service: KeyInstallation, tmp_path: Path, wrong: bool
    ) -> None:
        token, path = service.token(), service.settings.key_encryption_path
        path.rename(tmp_path / "moved")
        if wrong:
            KeyEncryption.create(path)
        sealed = KeyInstallation(tmp_path)
        for _ in range(2):
            sealed.keys.reload_file(path)
            assert sealed.ring.is_sealed
            assert sealed.keys.encryption is None
        (tmp_path / "moved").replace(path)
        sealed.keys.reload_file(path)
        assert not sealed.ring.is_sealed
        assert sealed.keys.file_fault is None
        assert sealed.accepts(token)
        assert service.accepts(sealed.token())
        sealed.close()

    @pytest.mark.proves("R95", "R96")
    @pytest.mark.parametrize("wrong", [False, True])
    def test_public_keys_still_verify_what_was_signed(
        self, service: KeyInstallation, tmp_path: Path, wrong: bool
    ) -> None:
        """So that a lost key is not mistaken for an older database."""
        kid, private = service.ring.signer(Purpose.CHECKPOINT)
        signature = private.sign(b"heads")
        service.settings.key_encryption_path.unlink()
        if wrong:
            KeyEncryption.create(service.settings.key_encryption_path)
        sealed = KeyInstallation(tmp_path)
        with sealed.store.read() as tx:
            check = signature_check(sealed.keys.list_keys(tx))
        assert check(kid.kid, b"heads", signature)
        assert not check(kid.kid, b"other heads", signature)
        sealed.close()

    @pytest.mark.proves("R7")
    def test_keys_under_another_file_seal_a_running_process(self, service: KeyInstallation, tmp_path: Path) -> None:
        """As on a replica that did not get the new file after a recovery."""
        recovered = KeyStore(KeyEncryption.create(tmp_path / "new"))
        with service.store.write(OPERATOR) as tx:
            recovered.withdraw(tx, [key.kid for key in service.keys.list_keys(tx)], "lost")
        assert service.ring.is_sealed
        assert service.keys.file_fault == WRONG_KEY
        (tmp_path / "new").replace(service.settings.key_encryption_path)
        service.keys.reload_file(service.settings.key_encryption_path)
        assert not service.ring.is_sealed
        assert service.accepts(service.token())

    @pytest.mark.proves("R3", "R7")
    def test_a_file_that_others_can_read_seals(self, service: KeyInstallation, tmp_path: Path) -> None:
        service.settings.key_encryption_path.chmod(0o644)
        sealed = KeyInstallation(tmp_path)
        assert sealed.ring.is_sealed
        sealed.close()

    def test_keys_can_be_withdrawn_while_sealed(self, service: KeyInstallation, tmp_path: Path) -> None:
        kid, token = service.signing(), service.token()
        service.settings.key_encryption_path.rename(tmp_path / "moved")
        sealed = KeyInstallation(tmp_path)
        with sealed.store.write(OPERATOR) as tx:
            sealed.keys.withdraw(tx, [kid], "")
        sealed.close()
        assert not service.accepts(token)


class TestDatabaseAttacker:
    """An attacker who can write to the database and does not have the key-encryption file."""

    def insert_key(self, service: KeyInstallation, key: SigningKey, state: str, private: bytes | None) -> None:
        with service.store.write(OPERATOR) as tx:
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
            tx.record_change("key", {}, ["*"])

    @pytest.mark.proves("T-38")
    @pytest.mark.parametrize("state", ["published", "signing", "retired"])
    def test_an_inserted_key_is_not_accepted(self, service: KeyInstallation, tmp_path: Path, state: str) -> None:
        with service.store.read() as tx:
            key = SigningKey.generate(Purpose.ROLE, tx.now)
        token = issue_role_token(
            KeyRing([key]), "i", "i", subject="alice", session_id=new_id(), project=None, roles=(), revision=1,
            now=key.created_at,
        )  # fmt: skip
        other_encryption = KeyEncryption.create(tmp_path / "other_encryption")
        for private in (
            None,
            b"",
            key.encrypt_private_key(other_encryption),
            other_encryption.encrypt(b"retired", key.kid),
        ):
            self.insert_key(service, key, state, private)
            assert service.ring.verifier(Purpose.ROLE, key.kid) is None
            assert not service.accepts(token)
            assert not service.ring.is_sealed
            with service.store.write(OPERATOR) as tx:
                tx.conn.execute(delete(tables.keys).where(tables.keys.c.kid == key.kid))
                tx.record_change("key", {}, ["*"])

    @pytest.mark.proves("T-38", "R7")
    def test_a_key_inserted_beside_damaged_ones_is_neither_accepted_nor_published(
        self, service: KeyInstallation
    ) -> None:
        """Keys that all look as if they were encrypted under another file seal the service, and prove nothing."""
        with service.store.read() as tx:
            key = SigningKey.generate(Purpose.DECISION, tx.now)
        with service.store.write(OPERATOR) as tx:
            tx.conn.execute(update(tables.keys).values(private=b"damaged", state="published"))
        self.insert_key(service, key, "signing", b"anything")
        ring = service.ring
        assert ring.is_sealed
        assert service.keys.file_fault == WRONG_KEY
        assert all(ring.verifier(purpose, key.kid) is None for purpose in Purpose)
        assert ring.jwks(key.created_at) == {"keys": []}

    @pytest.mark.proves("T-38")
    def test_a_withdrawn_or_retired_key_cannot_be_restored(self, service: KeyInstallation) -> None:
        old, token = service.signing(), service.token()
        with service.store.write(OPERATOR) as tx:
            service.keys.rotate(tx, Purpose.ROLE)
        retired = service.signing()
        with service.store.write(OPERATOR) as tx:
            service.keys.withdraw(tx, [old], "")
        for kid, state in ((old, "published"), (old, "retired"), (old, "signing")):
            with service.store.write(OPERATOR) as tx:
                tx.conn.execute(update(tables.keys).where(tables.keys.c.kid == kid).values(state=state))
                tx.record_change("key", {}, ["*"])
            assert service.ring.verifier(Purpose.ROLE, kid) is None
            assert not service.accepts(token)
        assert service.ring.verifier(Purpose.ROLE, retired)

    def test_the_halves_of_two_keys_cannot_be_swapped(self, service: KeyInstallation) -> None:
        first, second = (key for key in service.ring.keys if key.purpose is Purpose.ROLE)
        with service.store.write(OPERATOR) as tx:
            tx.conn.execute(
                update(tables.keys).where(tables.keys.c.kid == first.kid).values(public=second.public_bytes)
            )
            tx.record_change("key", {}, ["*"])
        assert service.ring.verifier(Purpose.ROLE, first.kid) is None
        assert service.ring.verifier(Purpose.ROLE, second.kid)

    @pytest.mark.proves("R98")
    def test_no_private_half_is_in_the_files_of_the_database(self, service: KeyInstallation, tmp_path: Path) -> None:
        secrets = [key.private_key.private_bytes_raw() for key in service.ring.keys if key.private_key]
        content = b"".join(file.read_bytes() for file in tmp_path.iterdir() if file.is_file())
        assert len(secrets) == 2 * len(Purpose)
        for secret in secrets:
            assert secret not in content
            assert secret.hex().encode() not in content


class TestCommandLine:
    def run(self, service: KeyInstallation, *arguments: str, stdin: str | None = None) -> tuple[int, str]:
        path = service.settings.data_dir / "aizen.yaml"
        path.write_text(f"data_dir: {service.settings.data_dir}\n")
        name, *rest = arguments
        done = CliRunner().invoke(keys_command, [name, "-c", str(path), *rest], input=stdin, standalone_mode=False)
        assert done.exception is None or isinstance(done.exception, click.Abort), done.exception
        return (done.return_value if done.exception is None else 1), done.output

    def test_list(self, service: KeyInstallation) -> None:
        code, text = self.run(service, "list", "-o", "json")
        assert code == 0
        assert {row["kid"] for row in json.loads(text)} == {key.kid for key in service.ring.keys}

    def test_rotate(self, service: KeyInstallation) -> None:
        before = service.signing(), service.signing(Purpose.DECISION)
        code, _ = self.run(service, "rotate", "--purpose", "role")
        assert code == 0
        assert service.signing() != before[0]
        assert service.signing(Purpose.DECISION) == before[1]
        self.run(service, "rotate")
        assert service.signing(Purpose.DECISION) != before[1]

    def test_withdraw_asks_for_confirmation(self, service: KeyInstallation) -> None:
        kid = service.signing()
        code, _ = self.run(service, "withdraw", kid, stdin="n\n")
        assert code != 0
        assert service.signing() == kid
        code, _ = self.run(service, "withdraw", kid[:10], "--yes", "--reason", "leaked")
        assert code == 0
        assert service.signing() != kid

    @pytest.mark.proves("R136")
    def test_withdraw_all(self, service: KeyInstallation) -> None:
        token = service.token()
        code, _ = self.run(service, "withdraw", "--all", "--yes")
        assert code == 0
        assert not service.accepts(token)
        assert service.accepts(service.token())

    def test_list_shows_that_the_service_is_sealed(self, service: KeyInstallation) -> None:
        service.settings.key_encryption_path.unlink()
        code, text = self.run(service, "list")
        assert code == 7
        assert "sealed" in text
