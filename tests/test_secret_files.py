"""Secrets written by hand: as strict as the key-encryption file, which holds 256 random bits."""

from __future__ import annotations

import base64
import os
import secrets
import stat
from pathlib import Path

import pytest

from aizen_hub.secret_files import (
    SecretFileError,
    find_weakness,
    read_or_create_secret,
    read_password,
    read_secret,
    read_secret_file,
    read_token,
)
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


def mount(folder: Path, version: str, content: str) -> Path:
    """Lay files out as the kubelet does: a folder for each version, and a link to the current one that is replaced."""
    (folder / version).mkdir(parents=True)
    write(folder / version / "hub-secret", content)
    (folder / "..new").symlink_to(version)
    (folder / "..new").rename(folder / "..data")
    if not (folder / "hub-secret").is_symlink():
        (folder / "hub-secret").symlink_to("..data/hub-secret")
    return folder / "hub-secret"


@pytest.mark.proves("R3")
def test_the_links_of_a_mounted_secret_are_followed_and_no_others(tmp_path: Path) -> None:
    first, second = secrets.token_hex(32), secrets.token_hex(32)
    path = mount(tmp_path / "mounted", "..2026_1", first)
    assert read_secret(path) == first
    assert read_secret(mount(tmp_path / "mounted", "..2026_2", second)) == second
    outside = write(tmp_path / "outside", first)
    for target in (outside, "../outside", "..data/../../outside", "/dev/stdin", "hub-secret", "nothing"):
        path.unlink()
        path.symlink_to(target)
        with pytest.raises(SecretFileError, match=r"leads out of its folder|cannot be read"):
            read_secret(path)


def test_a_link_that_is_replaced_while_it_is_read_is_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = mount(tmp_path / "mounted", "..2026_1", secrets.token_hex(32))
    content, resolve, calls = secrets.token_hex(32), Path.resolve, []

    def replace_afterwards(link: Path, strict: bool = False) -> Path:
        target = resolve(link, strict)
        if link == path and not calls:
            calls.append(target)
            mount(tmp_path / "mounted", "..2026_2", content)
            target.unlink()
        return target

    monkeypatch.setattr(Path, "resolve", replace_afterwards)
    assert read_secret(path) == content
    assert calls


def pretend_status(monkeypatch: pytest.MonkeyPatch, mode: int, uid: int, gid: int) -> None:
    """Let us be account 1000 in group 2000, and a file be of that status: only root could make each of them."""
    status = os.stat_result((stat.S_IFREG | mode, 1, 1, 1, uid, gid, 64, 0, 0, 0))
    for name, value in (("geteuid", 1_000), ("getegid", 1_000), ("getgroups", [2_000])):
        monkeypatch.setattr(os, name, lambda value=value: value)
    monkeypatch.setattr(os, "fstat", lambda descriptor: status)


@pytest.mark.parametrize(
    ("mode", "uid", "gid", "accepted"),
    [
        (0o440, 0, 2_000, True),
        (0o640, 0, 2_000, True),
        (0o400, 1_000, 9_999, True),
        (0o440, 0, 0, False),
        (0o440, 0, 9_999, False),
        (0o440, 1_000, 2_000, False),
        (0o460, 0, 2_000, False),
        (0o444, 0, 2_000, False),
        (0o400, 3_000, 2_000, False),
    ],
)
@pytest.mark.proves("R3")
def test_a_file_of_root_may_be_readable_by_our_group(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: int, uid: int, gid: int, accepted: bool
) -> None:
    content = secrets.token_hex(32)
    path = write(tmp_path / "secret", content)
    pretend_status(monkeypatch, mode, uid, gid)
    if accepted:
        assert read_secret(path) == content
    else:
        with pytest.raises(SecretFileError, match=r"can be read by others|belongs to another account"):
            read_secret(path)


@pytest.mark.parametrize(
    ("mode", "uid", "gid", "accepted"),
    [
        (0o640, 1_000, 2_000, True),
        (0o440, 0, 2_000, True),
        (0o640, 1_000, 0, False),
        (0o640, 1_000, 9_999, False),
        (0o660, 1_000, 2_000, False),
        (0o644, 1_000, 2_000, False),
        (0o640, 3_000, 2_000, False),
    ],
)
@pytest.mark.proves("R3")
def test_the_token_of_a_service_account_may_be_ours_and_readable_by_our_group(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: int, uid: int, gid: int, accepted: bool
) -> None:
    """So the kubelet writes it where the pod has `runAsUser` and `fsGroup`."""
    path = write(tmp_path / "token", "token")
    pretend_status(monkeypatch, mode, uid, gid)
    if accepted:
        assert read_secret_file(path, 100, group_reads_ours=True).strip() == b"token"
    else:
        with pytest.raises(SecretFileError, match=r"can be read by others|belongs to another account"):
            read_secret_file(path, 100, group_reads_ours=True)


def test_a_password_is_any_text_that_is_not_empty(tmp_path: Path) -> None:
    assert read_password(write(tmp_path / "short", "pä ss")) == "pä ss"
    with pytest.raises(SecretFileError, match="is empty"):
        read_password(write(tmp_path / "empty", " "))
