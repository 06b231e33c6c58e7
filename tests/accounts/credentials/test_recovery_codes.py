"""Recovery codes: each works once, for one user, and under one key only."""

from __future__ import annotations

from pathlib import Path

from aizen_hub.accounts.credentials import recovery_codes
from aizen_hub.tokens.key_encryption import KeyEncryption


def test_codes_are_different_and_readable() -> None:
    codes = recovery_codes.make_codes()
    assert len(set(codes)) == recovery_codes.NUMBER
    assert not set("".join(codes)) & set("01ilo")


def test_a_code_is_bound_to_user_and_key(tmp_path: Path) -> None:
    first, second = (KeyEncryption.create(tmp_path / name) for name in ("a", "b"))
    codes = recovery_codes.make_codes()
    stored = {recovery_codes.hash_codes(encryption, user, codes) for encryption in (first, second) for user in (1, 2)}
    assert len(stored) == 4
    assert not any(code in text for text in stored for code in codes)
