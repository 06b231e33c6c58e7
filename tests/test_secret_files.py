"""Secrets written by hand: as strict as the key-encryption file, which holds 256 random bits."""

from __future__ import annotations

import base64
import secrets
from pathlib import Path

import pytest

from aizen_hub.secret_files import SecretFileError, find_weakness, read_or_create_secret, read_secret, read_token
from aizen_hub.tokens.key_encryption import KeyEncryption


def write(path: Path, text: str) -> Path:
    path.write_text(text + "\n", encoding="utf-8")
    path.chmod(0o600)
    return path


@pytest.mark.parametrize(
    "text",
    [
        "$" * 90,
        "a" * 43,
        "0" * 64,
        "ab" * 32,
        "abcdefgh" * 8,
        "0123456789abcdef" * 4,
        "correct-horse-battery-staple-and-more-",
        "a sentence of many words is not enough",
        "9f86d081884c7d659a2feaa0c55ad015",
        "Zm9vYmFyYmF6cXV4MTIzNDU2Nzg5MGFi",
        "-" * 64,
        "=" * 64,
    ],
)
@pytest.mark.proves("R2")
def test_a_secret_that_can_be_guessed_is_refused_with_a_command_that_creates_one(tmp_path: Path, text: str) -> None:
    path = write(tmp_path / "hub-secret", text)
    with pytest.raises(SecretFileError, match="does not hold") as error:
        read_secret(path)
    assert text not in str(error.value)
    if len(text) >= 32 and " " not in text:
        assert f"openssl rand -hex 32 > {path}" in str(error.value)


def test_what_the_usual_generators_print_is_accepted(tmp_path: Path) -> None:
    for text in (
        secrets.token_hex(32),
        secrets.token_hex(32).upper(),
        secrets.token_urlsafe(32),
        base64.b64encode(secrets.token_bytes(32)).decode(),
        base64.b64encode(secrets.token_bytes(48)).decode(),
        secrets.token_urlsafe(90),
    ):
        assert read_secret(write(tmp_path / "secret", text)) == text


def test_what_the_product_creates_is_accepted(tmp_path: Path) -> None:
    for _ in range(200):
        assert find_weakness(secrets.token_urlsafe(32)) is None
    assert read_or_create_secret(tmp_path / "new") == read_secret(tmp_path / "new")
    KeyEncryption.create(tmp_path / "key")
    assert find_weakness((tmp_path / "key").read_text().strip()) is None


def test_a_token_of_another_program_has_any_form(tmp_path: Path) -> None:
    # A token of JupyterHub has 32 hexadecimal digits.
    token = secrets.token_hex(16)
    assert read_token(write(tmp_path / "token", token)) == token
    with pytest.raises(SecretFileError, match="32 or more"):
        read_token(write(tmp_path / "short", "x" * 31))
