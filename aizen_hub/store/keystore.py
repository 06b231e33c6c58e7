"""The signing keys in the database: created at the first start, rotated, retired, withdrawn."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from threading import Lock
from typing import TYPE_CHECKING, Any, Self

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from sqlalchemy import insert, select, update

from aizen_hub.problems import Conflict, NotFound
from aizen_hub.rbac.identity import Identity
from aizen_hub.store import tables
from aizen_hub.store.actor import Actor, Channel
from aizen_hub.tokens.key_encryption import MISSING, WRONG_KEY, KeyEncryption, KeyFileError, KeyFileFault
from aizen_hub.tokens.keys import KeyRing, KeyState, Purpose, SigningKey, base64url_encode, jwk_thumbprint

if TYPE_CHECKING:
    from pathlib import Path

    from aizen_hub.settings import Settings
    from aizen_hub.store.sql_store import Store
    from aizen_hub.store.transaction import ReadTransaction, WriteTransaction

log = logging.getLogger(__name__)

_TABLE = tables.keys
_FIRST_START = Actor(Identity.service_account("aizen-hub"), Channel.OPERATOR)
_CREATE_FILE = "create it with `aizen-hub keys init`, copy it to every replica, and start the service again"
_RETIRED_MARKER = b"retired"


class KeyStore:
    """Reads and changes the ``keys`` table.

    Each purpose has one key that signs and one that is published for the next rotation, so that clients that cache the
    key set know it before it signs. A row counts only if its private half decrypts with the key-encryption file: an
    attacker who can only write to the database cannot add a key (T-38).

    Parameters
    ----------
    encryption : KeyEncryption or None
    file_fault : KeyFileFault or None
        Why there is no encryption.

    Attributes
    ----------
    encryption : KeyEncryption or None
        None while the key-encryption file is missing, unusable or of another installation. `list_keys` then returns
        public halves, which verify the audit. `ring` is empty: nothing is signed, and no key is accepted or published,
        since without the file a row of this installation cannot be told from one that was inserted.
    file_fault : KeyFileFault or None
    """

    def __init__(self, encryption: KeyEncryption | None, file_fault: KeyFileFault | None = None) -> None:
        if encryption is None and file_fault is None:
            raise ValueError("a key store without encryption needs a reason")
        self.encryption = encryption
        self.file_fault = file_fault
        self._lock = Lock()
        self._revision = -1
        self._ring = KeyRing()
        self._loaded: dict[str, tuple[tuple[Any, ...], SigningKey]] = {}
        self._reported_faults: list[str] = []

    @classmethod
    def open(cls, settings: Settings, store: Store) -> Self:
        """Open the keys of a store, and create the first ones if there are none.

        The key-encryption file is created only for an embedded database without keys. In any other case a missing file
        seals the service, since a new file could not decrypt the existing keys (R7).
        """
        path = settings.key_encryption_path
        with store.read() as tx:
            new = tx.conn.execute(select(_TABLE.c.kid).limit(1)).first() is None
        try:
            create = new and settings.uses_sqlite and not path.exists()
            keys = cls(KeyEncryption.create(path) if create else KeyEncryption.load(path))
        except KeyFileError as error:
            fault = error.fault._replace(remedy=_CREATE_FILE) if new and error.fault.code == MISSING else error.fault
            keys = cls(None, fault)
        if new and keys.encryption is not None:
            with store.write(_FIRST_START) as write:
                keys.create_missing(write)
        with store.read() as tx:
            keys.ring(tx)  # finds out whether the file belongs to these keys
        return keys

    def reload_file(self, path: Path) -> None:
        """Read the key-encryption file again if it could not be used; the next `ring` tells whether it can be now."""
        if self.file_fault is None:
            return
        try:
            encryption = KeyEncryption.load(path)
        except KeyFileError as error:
            if error.fault[:2] != self.file_fault[:2]:
                self._use_encryption(None, error.fault)
            return
        self._use_encryption(encryption, None)

    def _use_encryption(self, encryption: KeyEncryption | None, fault: KeyFileFault | None) -> None:
        with self._lock:
            self.encryption, self.file_fault = encryption, fault
            self._revision, self._loaded = -1, {}

    def ring(self, tx: ReadTransaction) -> KeyRing:
        """Return the keys at the revision of ``tx``; the same object as long as they do not change.

        Costs one comparison while the revision is unchanged, and one query of a few rows otherwise.
        """
        with self._lock:
            if tx.revision == self._revision:
                return self._ring
        ring = self._read_ring(tx)
        if tx.revision != tx.state.revision:  # changes of this transaction, which may be rolled back
            return ring
        with self._lock:
            if tx.revision > self._revision:
                self._revision = tx.revision
                if ring.keys != self._ring.keys or ring.sealed_reason != self._ring.sealed_reason:
                    self._ring = ring
                return self._ring
        return ring

    def create_missing(self, tx: WriteTransaction) -> None:
        """Create the first keys of every purpose that never had one."""
        existing = set(tx.conn.scalars(select(_TABLE.c.purpose).distinct()))
        for purpose in Purpose:
            if purpose not in existing:
                self._add(tx, purpose, KeyState.SIGNING)
                self._add(tx, purpose, KeyState.PUBLISHED)

    def list_keys(self, tx: ReadTransaction) -> tuple[SigningKey, ...]:
        """Return every key ever created, including withdrawn ones, the newest of each purpose first."""
        return tuple(sorted(self._read_keys(tx)[0], key=lambda key: (key.purpose, key.created_at), reverse=True))

    def rotate(self, tx: WriteTransaction, purpose: Purpose) -> SigningKey:
        """Make the published key the signing key, retire the former signing key, and publish a new one.

        Raises
        ------
        KeyFileError
            The service is sealed.
        """
        keys = [key for key in self._read_keys(tx)[0] if key.purpose is purpose]
        next_key = next((key for key in keys if key.state is KeyState.PUBLISHED and key.private_key is not None), None)
        for key in keys:
            if key.state is KeyState.SIGNING:
                self._set_state(tx, key, KeyState.RETIRED)
        if next_key is None:
            next_key = self._add(tx, purpose, KeyState.SIGNING)
        else:
            self._set_state(tx, next_key, KeyState.SIGNING)
        self._add(tx, purpose, KeyState.PUBLISHED)
        return next_key

    def withdraw(self, tx: WriteTransaction, kids: Iterable[str], reason: str) -> tuple[str, ...]:
        """Withdraw keys, and with them every token that they signed, on every replica that reads this revision (R47).

        A purpose that loses its signing or published key gets a new one, so that users can renew their tokens (R136).
        While the service is sealed no key can be created, and it stays sealed.

        Parameters
        ----------
        kids : iterable of str
            Each may be a unique prefix of at least six characters.

        Raises
        ------
        NotFound
            There is no such key; nothing is changed.
        Conflict
            Several keys have this prefix, or the key is already withdrawn.
        """
        rows = {row.kid: row for row in tx.conn.execute(select(_TABLE.c.kid, _TABLE.c.purpose, _TABLE.c.state))}
        resolved = [_resolve_kid(rows, kid) for kid in kids]
        for kid in dict.fromkeys(resolved):
            if rows[kid].state == KeyState.WITHDRAWN:
                raise Conflict(f"the key `{kid}` is already withdrawn")
            tx.conn.execute(
                update(_TABLE)
                .where(_TABLE.c.kid == kid)
                .values(state=KeyState.WITHDRAWN.value, private=None, changed=tx.now)
            )
            _record_change(tx, "withdrawn", kid, rows[kid].purpose, reason=reason)
        if self.encryption is not None:
            self._replace_missing(tx, {Purpose(rows[kid].purpose) for kid in resolved})
        return tuple(dict.fromkeys(resolved))

    def _replace_missing(self, tx: WriteTransaction, purposes: set[Purpose]) -> None:
        for purpose in sorted(purposes):
            states = {key.state for key in self._read_keys(tx)[0] if key.purpose is purpose}
            if KeyState.SIGNING not in states and KeyState.PUBLISHED in states:
                self.rotate(tx, purpose)
                continue
            for state in (KeyState.SIGNING, KeyState.PUBLISHED):
                if state not in states:
                    self._add(tx, purpose, state)

    def _add(self, tx: WriteTransaction, purpose: Purpose, state: KeyState) -> SigningKey:
        key = SigningKey.generate(purpose, tx.now, state)
        tx.conn.execute(
            insert(_TABLE).values(
                kid=key.kid,
                purpose=purpose.value,
                public=key.public_bytes,
                private=key.encrypt_private_key(self._require_encryption()),
                state=state.value,
                created=tx.now,
                changed=tx.now,
            )
        )
        _record_change(tx, state.value, key.kid, purpose.value, public=base64url_encode(key.public_bytes))
        return key

    def _set_state(self, tx: WriteTransaction, key: SigningKey, state: KeyState) -> None:
        values: dict[str, Any] = {"state": state.value, "changed": tx.now}
        if state is KeyState.RETIRED:
            # The private half is destroyed; the encrypted marker proves that this service retired the key.
            values["private"] = self._require_encryption().encrypt(_RETIRED_MARKER, key.kid)
        tx.conn.execute(update(_TABLE).where(_TABLE.c.kid == key.kid).values(values))
        _record_change(tx, state.value, key.kid, key.purpose.value)

    def _require_encryption(self) -> KeyEncryption:
        if self.encryption is None:
            assert self.file_fault is not None, "without encryption there is a reason"
            raise KeyFileError(self.file_fault)
        return self.encryption

    def _read_ring(self, tx: ReadTransaction) -> KeyRing:
        keys, faults = self._read_keys(tx)
        if self.file_fault is not None:
            return KeyRing((), tx.revision, self.file_fault.sentence, self.file_fault.remedy)
        try:
            ring = KeyRing(keys, tx.revision)
        except ValueError as error:
            return KeyRing((), tx.revision, str(error))
        return KeyRing(keys, tx.revision, next(iter(faults), None)) if ring.is_sealed else ring

    def _read_keys(self, tx: ReadTransaction) -> tuple[list[SigningKey], list[str]]:
        """Return the keys, and a sentence for each row that is not one."""
        rows = tx.conn.execute(select(_TABLE).order_by(_TABLE.c.created, _TABLE.c.kid)).all()
        keys, loaded = [], {}
        faults: list[str] = []
        for row in rows:
            fingerprint = tuple(row)
            cached = self._loaded.get(row.kid)
            try:
                key = cached[1] if cached is not None and cached[0] == fingerprint else self._load_key(row)
            except ValueError as error:
                faults.append(f"key `{row.kid[:16]}`: {error}")
                continue
            keys.append(key)
            loaded[row.kid] = (fingerprint, key)
        if self.encryption is not None and faults and all(key.state is KeyState.WITHDRAWN for key in keys):
            # Not one key belongs to the file.
            self._use_encryption(None, WRONG_KEY)
            return self._read_keys(tx)
        self._loaded = loaded
        if faults != self._reported_faults:
            self._reported_faults = faults
            for fault in faults:
                log.error("a signing key cannot be used: %s", fault)
        return keys, faults

    def _load_key(self, row: Any) -> SigningKey:
        state, purpose = KeyState(row.state), Purpose(row.purpose)
        if jwk_thumbprint(row.public) != row.kid:
            raise ValueError("its public half belongs to a different key")
        private = None
        if self.encryption is not None and state is not KeyState.WITHDRAWN:
            if state is KeyState.RETIRED:
                if self.encryption.decrypt(row.private or b"", row.kid) != _RETIRED_MARKER:
                    raise ValueError("it was not retired by this service")
            else:
                private = SigningKey.decrypt_private_key(row.private or b"", row.kid, self.encryption)
        public = Ed25519PublicKey.from_public_bytes(row.public)
        return SigningKey(row.kid, purpose, state, row.created, row.changed, public, private)


def _record_change(tx: WriteTransaction, state: str, kid: str, purpose: str, **more: str) -> None:
    tx.record_change("key", {"kid": kid, "purpose": purpose, "state": state, **more}, [f"key:{kid}"])
    tx.audit(f"key.{state}", details={"kid": kid, "purpose": purpose, **more})


def _resolve_kid(rows: Mapping[str, Any], prefix: str) -> str:
    if prefix in rows:
        return prefix
    matches = [kid for kid in rows if len(prefix) >= 6 and kid.startswith(prefix)]
    if len(matches) > 1:
        raise Conflict(f"{len(matches)} keys begin with `{prefix}`: give more characters")
    if not matches:
        raise NotFound(f"there is no key `{prefix[:64]!a}`", remedy="`aizen-hub keys list` lists all keys")
    return matches[0]
