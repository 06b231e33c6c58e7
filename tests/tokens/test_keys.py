"""Signing keys: thumbprints, states, encryption, and the key-encryption file."""

from __future__ import annotations

import os
import stat
import threading
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from aizen_hub.problems import Unavailable
from aizen_hub.tokens.key_encryption import KeyEncryption
from aizen_hub.tokens.keys import KeyRing, KeyState, Purpose, SigningKey, jwk_thumbprint
from aizen_hub.tokens.opaque_token import constant_time_equals, hash_credential, new_credential, new_id
from tests.tokens.conftest import NOW


def in_state(key: SigningKey, state: KeyState, changed: object = NOW) -> SigningKey:
    return SigningKey(key.kid, key.purpose, state, key.created_at, changed, key.public_key, key.private_key)  # type: ignore[arg-type]


def test_a_kid_is_the_thumbprint_of_rfc_8037() -> None:
    public = bytes.fromhex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a")
    assert jwk_thumbprint(public) == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"
    assert jwk_thumbprint(Ed25519PublicKey.from_public_bytes(public).public_bytes_raw()) == jwk_thumbprint(public)


@pytest.mark.proves("R55")
def test_the_key_set_has_public_members_only(ring: KeyRing) -> None:
    keys = ring.jwks(NOW)["keys"]
    assert len(keys) == len({key["kid"] for key in keys}) == len(Purpose)
    for key in keys:
        assert set(key) == {"kty", "crv", "x", "kid", "use", "alg"}
        assert (key["use"], key["alg"]) == ("sig", "EdDSA")
    private = {key.private_key.private_bytes_raw().hex() for key in ring.keys if key.private_key}
    assert not any(secret in str(keys) for secret in private)


@pytest.mark.proves("R55", "R47")
def test_key_set_membership_of_retired_and_withdrawn_keys() -> None:
    key = SigningKey.generate(Purpose.ROLE, NOW)
    retired = KeyRing([in_state(key, KeyState.RETIRED)])
    assert retired.jwks(NOW + timedelta(minutes=10, seconds=30))["keys"]
    assert not retired.jwks(NOW + timedelta(minutes=10, seconds=31))["keys"]
    withdrawn = KeyRing([in_state(key, KeyState.WITHDRAWN)])
    assert not withdrawn.jwks(NOW)["keys"]
    assert withdrawn.verifier(Purpose.ROLE, key.kid) is None
    assert KeyRing([in_state(key, KeyState.PUBLISHED)]).jwks(NOW)["keys"]


@pytest.mark.parametrize("state", [KeyState.PUBLISHED, KeyState.RETIRED, KeyState.WITHDRAWN])
def test_only_the_signing_key_signs(state: KeyState) -> None:
    ring = KeyRing([in_state(SigningKey.generate(Purpose.ROLE, NOW), state)])
    with pytest.raises(Unavailable):
        ring.signer(Purpose.ROLE)


def test_a_ring_never_has_two_signers_or_one_kid_twice() -> None:
    key = SigningKey.generate(Purpose.ROLE, NOW)
    with pytest.raises(ValueError, match="same kid"):
        KeyRing([key, in_state(key, KeyState.RETIRED)])
    with pytest.raises(ValueError, match="same purpose"):
        KeyRing([key, SigningKey.generate(Purpose.ROLE, NOW)])


def test_private_keys_are_encrypted_and_bound_to_their_kid(tmp_path: Path) -> None:
    encryption = KeyEncryption.create(tmp_path / "kek")
    first, second = SigningKey.generate(Purpose.ROLE, NOW), SigningKey.generate(Purpose.ROLE, NOW)
    ciphertext = first.encrypt_private_key(encryption)
    assert first.private_key is not None
    assert first.private_key.private_bytes_raw() not in ciphertext
    assert ciphertext != first.encrypt_private_key(encryption)
    assert (
        SigningKey.decrypt_private_key(ciphertext, first.kid, encryption).private_bytes_raw()
        == first.private_key.private_bytes_raw()
    )
    with pytest.raises(ValueError, match="another key"):
        SigningKey.decrypt_private_key(ciphertext, second.kid, encryption)
    # Even with the key-encryption key, one key cannot be stored under the kid of another.
    assert second.private_key is not None
    with pytest.raises(ValueError, match="another key"):
        SigningKey.decrypt_private_key(
            encryption.encrypt(second.private_key.private_bytes_raw(), first.kid), first.kid, encryption
        )
    with pytest.raises(ValueError, match="another key"):
        SigningKey.decrypt_private_key(ciphertext, first.kid, KeyEncryption.create(tmp_path / "other"))
    for index in range(len(ciphertext)):
        damaged = bytearray(ciphertext)
        damaged[index] ^= 1
        with pytest.raises(ValueError, match="another key"):
            SigningKey.decrypt_private_key(bytes(damaged), first.kid, encryption)


@pytest.mark.proves("R98")
def test_nothing_secret_is_shown(tmp_path: Path) -> None:
    encryption = KeyEncryption.create(tmp_path / "kek")
    key = SigningKey.generate(Purpose.ROLE, NOW)
    assert "private" not in repr(key)
    assert repr(encryption) == "KeyEncryption()"
    assert "Ed25519PrivateKey" not in repr(KeyRing([key]))


@pytest.mark.proves("R3")
@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644, 0o620, 0o601, 0o777])
def test_a_file_that_others_can_touch_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "kek"
    KeyEncryption.create(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.chmod(mode)
    with pytest.raises(Unavailable, match="read by others"):
        KeyEncryption.load(path)
    path.chmod(0o400)
    KeyEncryption.load(path)


@pytest.mark.proves("R2")
@pytest.mark.parametrize(
    "content",
    [b"", b"secret", b"A" * 43, b"A" * 42, b"x" * 44, b"!" * 43, bytes(32), b"QUJD" * 10 + b"QUI\nmore", b"\xff" * 43],
)
def test_a_weak_or_broken_file_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "kek"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(Unavailable) as caught:
        KeyEncryption.load(path)
    assert not content or content.decode("latin-1") not in str(caught.value)


@pytest.mark.proves("R3")
def test_only_a_regular_file_is_read(tmp_path: Path) -> None:
    KeyEncryption.create(tmp_path / "kek")
    (tmp_path / "mounted").mkdir()
    (tmp_path / "mounted" / "link").symlink_to(tmp_path / "kek")
    os.mkfifo(tmp_path / "pipe", 0o600)
    (tmp_path / "folder").mkdir(0o700)
    for name in ("mounted/link", "pipe", "folder", "missing"):
        with pytest.raises(Unavailable):
            KeyEncryption.load(tmp_path / name)


def test_the_file_is_created_once_by_concurrent_processes(tmp_path: Path) -> None:
    path = tmp_path / "new" / "kek"
    derived: list[bytes] = []
    start = threading.Barrier(8)

    def make() -> None:
        start.wait()
        derived.append(KeyEncryption.create(path).derive("test"))

    threads = [threading.Thread(target=make) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(derived) == 8
    assert len(set(derived)) == 1
    assert [file.name for file in path.parent.iterdir()] == ["kek"]


def test_derived_secrets_differ_by_purpose(tmp_path: Path) -> None:
    encryption = KeyEncryption.create(tmp_path / "kek")
    assert len({encryption.derive("a"), encryption.derive("b"), encryption.derive("")}) == 3
    assert len(encryption.derive("a")) == 32


@pytest.mark.proves("R57")
def test_ids_are_long_enough_and_never_repeat() -> None:
    ids = {new_id() for _ in range(2000)} | {new_credential() for _ in range(2000)}
    assert len(ids) == 4000
    assert all(len(key) * 4 >= 128 for key in ids)
    assert len(bytes.fromhex(new_id())) == 16


@pytest.mark.proves("R56")
def test_secrets_are_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[object, object]] = []
    monkeypatch.setattr("hmac.compare_digest", lambda left, right: compared.append((left, right)) or left == right)
    assert constant_time_equals("secret", "secret")
    assert not constant_time_equals("secret", "secreT")
    assert compared == [(b"secret", b"secret"), (b"secret", b"secreT")]


@pytest.mark.proves("R56")
def test_credentials_are_hashed() -> None:
    assert hash_credential("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert hash_credential("\ud800") != hash_credential("\ud801")
    assert [constant_time_equals("a", other) for other in ("a", "b", "aa")] == [True, False, False]
