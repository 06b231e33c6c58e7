"""New keys after the loss of the key-encryption key: what ends, what stays, and what the audit can still verify."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pyotp
import pytest
from sqlalchemy import select

from aizen_hub.accounts.credentials import second_factor
from aizen_hub.accounts.key_recovery import RecoveredKeys, recover_keys, users_with_second_factor
from aizen_hub.accounts.users import registration
from aizen_hub.audit.checkpoints.checkpoint_file import CheckpointFile
from aizen_hub.audit.checkpoints.heads import chain_heads
from aizen_hub.audit.checkpoints.signing import checkpoint_signer, signature_check
from aizen_hub.audit.integrity.audit_run import run_audit
from aizen_hub.rbac.identity import Identity
from aizen_hub.store import tables
from aizen_hub.store.actor import Actor, Channel
from aizen_hub.store.keystore import KeyStore
from aizen_hub.tokens.key_encryption import KeyEncryption
from aizen_hub.tokens.keys import KeyState, Purpose
from tests.accounts.harness import OPERATOR, AccountsHarness

USER, PASSWORD = "lena", "quite long, 7 words of it, unguessed"
FAR_FUTURE = datetime(2999, 1, 1, tzinfo=UTC)


@pytest.fixture
def keys(harness: AccountsHarness) -> KeyStore:
    return KeyStore.open(harness.settings, harness.store)


@pytest.fixture
def secret(harness: AccountsHarness, keys: KeyStore) -> str:
    """The second factor of a local account."""
    assert keys.encryption is not None
    with harness.store.write(OPERATOR) as tx:
        registration.create_user(tx, USER, provider="local", password=PASSWORD)
    enrolment = second_factor.begin_enrolment(USER, keys.encryption)
    code = pyotp.TOTP(enrolment.secret).now()
    actor = Actor(Identity.user(USER), Channel.PANEL, recent_login_until=FAR_FUTURE)
    with harness.store.write(actor) as tx:
        second_factor.enable_second_factor(tx, keys.encryption, enrolment.encrypted_secret, code)
    return enrolment.secret


def sign(harness: AccountsHarness, keys: KeyStore) -> None:
    with harness.store.read() as tx:
        file = CheckpointFile(harness.settings.checkpoint_path)
        file.append(chain_heads(tx.conn), tx.revision, tx.now, checkpoint_signer(keys.ring(tx)))


def recover(harness: AccountsHarness, folder: Path, *, remove: bool = False) -> tuple[KeyStore, RecoveredKeys]:
    keys = KeyStore(KeyEncryption.create(folder / "new-key"))
    with harness.store.write(OPERATOR) as tx:
        return keys, recover_keys(tx, keys, "the disk broke", remove_second_factors=remove)


@pytest.mark.proves("R47", "R136")
def test_every_purpose_has_new_keys_and_the_old_ones_verify_no_token(
    harness: AccountsHarness, keys: KeyStore, tmp_path: Path
) -> None:
    with harness.store.write(OPERATOR) as tx:
        keys.rotate(tx, Purpose.ROLE)  # one is retired
        before = {key.kid for key in keys.list_keys(tx)}
    recovered_keys, result = recover(harness, tmp_path)
    assert result == RecoveredKeys(len(before), ())
    with harness.store.read() as tx:
        ring = recovered_keys.ring(tx)
    assert not ring.is_sealed
    assert {key.kid for key in ring.keys if key.state is KeyState.WITHDRAWN} == before
    for purpose in Purpose:
        assert ring.signer(purpose)[0].kid not in before
        assert all(ring.verifier(purpose, kid) is None for kid in before)


@pytest.mark.proves("R95", "R96", "I2")
def test_the_audit_stays_verifiable_under_the_old_public_keys(
    harness: AccountsHarness, keys: KeyStore, tmp_path: Path
) -> None:
    sign(harness, keys)
    recovered_keys, _ = recover(harness, tmp_path)
    sign(harness, recovered_keys)
    with harness.store.read() as tx:
        report = run_audit(
            tx.conn,
            CheckpointFile(harness.settings.checkpoint_path).read(signature_check(recovered_keys.list_keys(tx))),
            recovered_keys.list_keys(tx),
        )
        row = tx.conn.execute(select(tables.audit).where(tables.audit.c.event == "keys.recovered")).one()
    assert (report.checkpoints, report.findings) == (2, ())
    assert json.loads(row.body)["reason"] == "the disk broke"


def test_a_second_factor_is_not_dropped_unless_the_operator_says_so(
    harness: AccountsHarness, secret: str, tmp_path: Path
) -> None:
    recovered_keys, result = recover(harness, tmp_path)
    assert result.second_factors == (USER,)
    for code in (None, pyotp.TOTP(secret).now()):
        with harness.store.write(OPERATOR) as tx:
            assert not second_factor.check_code(tx, recovered_keys.encryption, USER, code)
            assert users_with_second_factor(tx) == (USER,)


@pytest.mark.proves("R142")
def test_removed_second_factors_sign_their_users_out(harness: AccountsHarness, secret: str, tmp_path: Path) -> None:
    signed_out = select(tables.users.c.sign_out_revision).where(tables.users.c.name == USER)
    with harness.store.read() as tx:
        before = tx.conn.scalar(signed_out)
    recovered_keys, result = recover(harness, tmp_path, remove=True)
    assert result.second_factors == (USER,)
    with harness.store.write(OPERATOR) as tx:
        assert users_with_second_factor(tx) == ()
        assert second_factor.check_code(tx, recovered_keys.encryption, USER, None)
        assert tx.conn.scalar(signed_out) != before
        report = run_audit(
            tx.conn,
            CheckpointFile(harness.settings.checkpoint_path).read(signature_check(recovered_keys.list_keys(tx))),
            recovered_keys.list_keys(tx),
        )
    assert report.findings == ()
