"""The signing keys as the database holds them: made at the first start, rotated, retired, withdrawn."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from threading import Lock
from typing import TYPE_CHECKING, Any, Self

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from sqlalchemy import insert, select, update

from aizen_hub.problems import Conflict, NotFound, Unavailable
from aizen_hub.rbac.identity import Identity
from aizen_hub.store import tables
from aizen_hub.store.actor import Actor, Road
from aizen_hub.tokens.key_encryption import KeyEncryption
from aizen_hub.tokens.keys import KeyRing, KeyState, Purpose, SigningKey, encode, thumbprint

if TYPE_CHECKING:
    from aizen_hub.settings import Settings
    from aizen_hub.store.store import Store
    from aizen_hub.store.transaction import Read, Write

log = logging.getLogger(__name__)

_TABLE = tables.keys
_FIRST_START = Actor(Identity.service_account("aizen-hub"), Road.OPERATOR)
_RETIRED = b"retired"


class KeyStore:
    """Reads and changes the ``keys`` table.

    Each purpose has a key that signs and one that is published for the next rotation, so that everybody who keeps our
    key set for a while knows it long before. What stands in the table counts only with a private half that opens under
    the key-encryption file: whoever can write to the database alone cannot bring in a key (T-38).

    Parameters
    ----------
    encryption : KeyEncryption or None
    sealed : str or None
        Why there is no encryption.
    """

    def __init__(self, encryption: KeyEncryption | None, sealed: str | None = None) -> None:
        if encryption is None and sealed is None:
            raise ValueError("without encryption there is a reason")
        self.encryption = encryption
        self.sealed = sealed
        self._guard = Lock()
        self._revision = -1
        self._ring = KeyRing(sealed=sealed)
        self._loaded: dict[str, tuple[tuple[Any, ...], SigningKey]] = {}
        self._faults: list[str] = []

    @classmethod
    def open(cls, settings: Settings, store: Store) -> Self:
        """Open the keys of a store, and make the first ones where there are none yet.

        The key-encryption file is made only for an embedded database without keys; elsewhere its absence seals the
        service instead, since a new file could open none of the keys (R7).
        """
        path = settings.key_encryption_path
        with store.read() as tx:
            new = tx.conn.execute(select(_TABLE.c.kid).limit(1)).first() is None
        try:
            may_make = new and settings.embedded and not path.exists()
            keys = cls(KeyEncryption.make(path) if may_make else KeyEncryption.load(path))
        except Unavailable as missing:
            log.error("sealed: %s", missing.detail)
            return cls(None, missing.detail)
        if new:
            with store.write(_FIRST_START) as write:
                keys.ensure(write)
        return keys

    def ring(self, tx: Read) -> KeyRing:
        """Return the keys as they are at the revision of ``tx``; the same object as long as they do not change.

        Costs one comparison while the revision stands still, and one query of a few rows when it moved.
        """
        with self._guard:
            if tx.revision == self._revision:
                return self._ring
        ring = self._read(tx)
        if tx.revision != tx.state.revision:  # changes of this very transaction, which may never be committed
            return ring
        with self._guard:
            if tx.revision > self._revision:
                self._revision = tx.revision
                if ring.keys != self._ring.keys or ring.sealed != self._ring.sealed:
                    self._ring = ring
                return self._ring
        return ring

    def ensure(self, tx: Write) -> None:
        """Make the first keys of every purpose that never had one."""
        known = set(tx.conn.scalars(select(_TABLE.c.purpose).distinct()))
        for purpose in Purpose:
            if purpose not in known:
                self._add(tx, purpose, KeyState.SIGNING)
                self._add(tx, purpose, KeyState.PUBLISHED)

    def list(self, tx: Read) -> tuple[SigningKey, ...]:
        """Return every key ever made, withdrawn ones included, the newest of each purpose first."""
        return tuple(sorted(self._read(tx).keys, key=lambda key: (key.purpose, key.created), reverse=True))

    def rotate(self, tx: Write, purpose: Purpose) -> SigningKey:
        """Let the published key sign, retire the one that signed, and publish a new one.

        Raises
        ------
        Unavailable
            The service is sealed.
        """
        keys = [key for key in self._read(tx).keys if key.purpose is purpose]
        following = next((key for key in keys if key.state is KeyState.PUBLISHED and key.private is not None), None)
        for key in keys:
            if key.state is KeyState.SIGNING:
                self._move(tx, key, KeyState.RETIRED)
        if following is None:
            following = self._add(tx, purpose, KeyState.SIGNING)
        else:
            self._move(tx, following, KeyState.SIGNING)
        self._add(tx, purpose, KeyState.PUBLISHED)
        return following

    def withdraw(self, tx: Write, kids: Iterable[str], reason: str) -> tuple[str, ...]:
        """End keys and every token under them at once, on every replica that reads this revision (R47).

        Purposes that lose the key that signs, or the published one, get new ones, so that people can renew (R136).
        While the service is sealed nothing new can be made; it stays sealed.

        Parameters
        ----------
        kids : iterable of str
            A unique beginning of a kid, of at least six characters, is enough.

        Raises
        ------
        NotFound
            No such key; nothing is changed.
        Conflict
            Several keys begin like this, or the key is withdrawn already.
        """
        rows = {row.kid: row for row in tx.conn.execute(select(_TABLE.c.kid, _TABLE.c.purpose, _TABLE.c.state))}
        chosen = [_one_of(rows, kid) for kid in kids]
        for kid in dict.fromkeys(chosen):
            if rows[kid].state == KeyState.WITHDRAWN:
                raise Conflict(f"the key `{kid}` is withdrawn already")
            tx.conn.execute(
                update(_TABLE)
                .where(_TABLE.c.kid == kid)
                .values(state=KeyState.WITHDRAWN.value, private=None, changed=tx.now)
            )
            _announce(tx, "withdrawn", kid, rows[kid].purpose, reason=reason)
        if self.encryption is not None:
            self._fill(tx, {Purpose(rows[kid].purpose) for kid in chosen})
        return tuple(dict.fromkeys(chosen))

    def _fill(self, tx: Write, purposes: set[Purpose]) -> None:
        for purpose in sorted(purposes):
            states = {key.state for key in self._read(tx).keys if key.purpose is purpose}
            if KeyState.SIGNING not in states and KeyState.PUBLISHED in states:
                self.rotate(tx, purpose)
                continue
            for state in (KeyState.SIGNING, KeyState.PUBLISHED):
                if state not in states:
                    self._add(tx, purpose, state)

    def _add(self, tx: Write, purpose: Purpose, state: KeyState) -> SigningKey:
        key = SigningKey.new(purpose, tx.now, state)
        tx.conn.execute(
            insert(_TABLE).values(
                kid=key.kid,
                purpose=purpose.value,
                public=key.public_bytes,
                private=key.seal(self._open_encryption()),
                state=state.value,
                created=tx.now,
                changed=tx.now,
            )
        )
        _announce(tx, state.value, key.kid, purpose.value, public=encode(key.public_bytes))
        return key

    def _move(self, tx: Write, key: SigningKey, state: KeyState) -> None:
        values: dict[str, Any] = {"state": state.value, "changed": tx.now}
        if state is KeyState.RETIRED:
            # The private half is gone for good; the mark in its place proves that this row was once a key of ours.
            values["private"] = self._open_encryption().seal(_RETIRED, key.kid)
        tx.conn.execute(update(_TABLE).where(_TABLE.c.kid == key.kid).values(values))
        _announce(tx, state.value, key.kid, key.purpose.value)

    def _open_encryption(self) -> KeyEncryption:
        if self.encryption is None:
            raise Unavailable(self.sealed or "sealed", more={"sealed": True})
        return self.encryption

    def _read(self, tx: Read) -> KeyRing:
        rows = tx.conn.execute(select(_TABLE).order_by(_TABLE.c.created, _TABLE.c.kid)).all()
        keys, loaded = [], {}
        faults: list[str] = []
        for row in rows:
            fingerprint = tuple(row)
            known = self._loaded.get(row.kid)
            try:
                key = known[1] if known is not None and known[0] == fingerprint else self._load(row)
            except ValueError as error:
                faults.append(f"key `{row.kid[:16]}`: {error}")
                continue
            keys.append(key)
            loaded[row.kid] = (fingerprint, key)
        self._loaded = loaded
        if faults != self._faults:
            self._faults = faults
            for fault in faults:
                log.error("a signing key cannot be used: %s", fault)
        try:
            ring = KeyRing(keys, tx.revision)
        except ValueError as error:
            return KeyRing((), tx.revision, str(error))
        return KeyRing(keys, tx.revision, self.sealed or next(iter(faults), None)) if ring.is_sealed else ring

    def _load(self, row: Any) -> SigningKey:
        state, purpose = KeyState(row.state), Purpose(row.purpose)
        if thumbprint(row.public) != row.kid:
            raise ValueError("its public half belongs to another key")
        private = None
        if self.encryption is not None and state is not KeyState.WITHDRAWN:
            if state is KeyState.RETIRED:
                if self.encryption.open(row.private or b"", row.kid) != _RETIRED:
                    raise ValueError("it was not retired by this service")
            else:
                private = SigningKey.unseal(row.private or b"", row.kid, self.encryption)
        public = Ed25519PublicKey.from_public_bytes(row.public)
        return SigningKey(row.kid, purpose, state, row.created, row.changed, public, private)


def _announce(tx: Write, what: str, kid: str, purpose: str, **more: str) -> None:
    tx.change("key", {"kid": kid, "purpose": purpose, "state": what, **more}, [f"key:{kid}"])
    tx.audit(f"key.{what}", details={"kid": kid, "purpose": purpose, **more})


def _one_of(rows: Mapping[str, Any], start: str) -> str:
    if start in rows:
        return start
    found = [kid for kid in rows if len(start) >= 6 and kid.startswith(start)]
    if len(found) > 1:
        raise Conflict(f"{len(found)} keys begin with `{start}`: write more of it")
    if not found:
        raise NotFound(f"there is no key `{start[:64]!a}`", remedy="`aizen-hub keys list` shows them")
    return found[0]
