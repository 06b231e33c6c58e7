"""A store with audit rows and checkpoints, written once per module and copied for each test that tampers with it."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from aizen_hub.audit.checkpoints.checkpoint import Checkpoint
from aizen_hub.audit.checkpoints.checkpoint_file import CheckpointFile
from aizen_hub.audit.checkpoints.heads import chain_heads
from aizen_hub.audit.integrity.chain_verifier import ChainReport, verify_chains
from aizen_hub.settings import Settings
from aizen_hub.store.sql_store import Store
from aizen_hub.store.transaction import make_audit_record
from tests.store import store_rows
from tests.store.store_rows import TESTER

ROWS = 24


@dataclass
class Ed25519Signer:
    """An Ed25519 key with an id."""

    kid: str = "key-1"
    key: Ed25519PrivateKey = field(default_factory=Ed25519PrivateKey.generate)

    def sign(self, data: bytes) -> tuple[str, bytes]:
        return self.kid, self.key.sign(data)

    def check(self, kid: str, data: bytes, signature: bytes) -> bool:
        try:
            self.key.public_key().verify(signature, data)
        except InvalidSignature:
            return False
        return kid == self.kid


@dataclass
class AuditedDatabase:
    """A database file, and the checkpoints made of it: after row 10 and after the last."""

    settings: Settings
    checkpoints: list[Checkpoint]

    @property
    def file(self) -> Path:
        return self.settings.data_dir / "aizen.sqlite"

    def tamper(self, operation: Callable[[sqlite3.Connection], object]) -> None:
        """Change the file like an attacker who can write to the database but not sign."""
        with sqlite3.connect(self.file) as db:
            operation(db)
        db.close()

    def report(self, *, signed: bool = True) -> ChainReport:
        store = Store.open(self.settings, store_rows.catalog())
        try:
            with store.read() as tx:
                return verify_chains(tx.conn, self.checkpoints if signed else ())
        finally:
            store.close()


@pytest.fixture
def signer() -> Ed25519Signer:
    return Ed25519Signer()


@pytest.fixture(scope="module")
def audited_template(tmp_path_factory: pytest.TempPathFactory) -> AuditedDatabase:
    folder = tmp_path_factory.mktemp("archive")
    settings = Settings(data_dir=folder)
    signer = Ed25519Signer()
    checkpoint_file = CheckpointFile(folder / "checkpoints")
    store = Store.open(settings, store_rows.catalog())
    for number in range(2, ROWS + 1):  # the first row records the catalog
        if number % 5:
            with store.read() as tx:
                record = make_audit_record(TESTER, "looked", tx.now, number=number, project=f"p{number % 3}")
            store.append_audit([record])
        else:
            with store.write(TESTER) as tx:
                store_rows.insert_user(tx, f"u{number}")
        if number in (10, ROWS):
            with store.read() as tx:
                assert checkpoint_file.append(chain_heads(tx.conn), tx.revision, tx.now, signer.sign)
    store.close()
    checkpoints, faults = checkpoint_file.read(signer.check)
    assert len(checkpoints) == 2
    assert not faults
    return AuditedDatabase(settings, checkpoints)


@pytest.fixture
def audited_database(audited_template: AuditedDatabase, tmp_path: Path) -> AuditedDatabase:
    folder = tmp_path / "copy"
    shutil.copytree(audited_template.settings.data_dir, folder)
    return AuditedDatabase(Settings(data_dir=folder), audited_template.checkpoints)
