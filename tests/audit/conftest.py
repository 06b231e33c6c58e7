"""A store with an audit of some length, written once per module and copied for each tampering."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from aizen_hub.audit.checkpoints.checkpoint import Checkpoint, CheckpointFile
from aizen_hub.audit.integrity.chain_verifier import Report, heads, verify
from aizen_hub.settings import Settings
from aizen_hub.store.store import Store
from aizen_hub.store.transaction import make_row
from tests.store import world
from tests.store.world import TESTER

ROWS = 24


@dataclass
class Signer:
    """An Ed25519 key with a name."""

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
class Archive:
    """A database file, and the checkpoints that were made of it: after row 10 and after the last."""

    settings: Settings
    checkpoints: list[Checkpoint]

    @property
    def file(self) -> Path:
        return self.settings.data_dir / "aizen.sqlite"

    def tamper(self, work: Callable[[sqlite3.Connection], object]) -> None:
        """Change the file as somebody would who can write to the database but not sign."""
        with sqlite3.connect(self.file) as db:
            work(db)
        db.close()

    def report(self, *, signed: bool = True) -> Report:
        store = Store.open(self.settings, world.catalog())
        try:
            with store.read() as tx:
                return verify(tx.conn, self.checkpoints if signed else ())
        finally:
            store.close()


@pytest.fixture
def signer() -> Signer:
    return Signer()


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Archive:
    folder = tmp_path_factory.mktemp("archive")
    settings = Settings(data_dir=folder)
    signer = Signer()
    path = CheckpointFile(folder / "checkpoints")
    store = Store.open(settings, world.catalog())
    for number in range(2, ROWS + 1):  # the first row is the catalog's
        if number % 5:
            with store.read() as tx:
                row = make_row(TESTER, "looked", tx.now, number=number, project=f"p{number % 3}")
            store.record([row])
        else:
            with store.write(TESTER) as tx:
                world.user(tx, f"u{number}")
        if number in (10, ROWS):
            with store.read() as tx:
                assert path.append(heads(tx.conn), tx.revision, tx.now, signer.sign)
    store.close()
    checkpoints, faults = path.read(signer.check)
    assert len(checkpoints) == 2
    assert not faults
    return Archive(settings, checkpoints)


@pytest.fixture
def archive(written: Archive, tmp_path: Path) -> Archive:
    folder = tmp_path / "copy"
    shutil.copytree(written.settings.data_dir, folder)
    return Archive(Settings(data_dir=folder), written.checkpoints)
