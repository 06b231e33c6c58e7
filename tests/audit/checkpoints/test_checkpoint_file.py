"""Checkpoint files: a line that was changed, deleted or moved is found."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from aizen_hub.audit.checkpoints.checkpoint import Head
from aizen_hub.audit.checkpoints.checkpoint_file import CheckpointFile
from aizen_hub.problems import Unavailable
from tests.audit.conftest import Ed25519Signer

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def heads(number: int, writer: str = "main") -> dict[str, Head]:
    return {writer: Head(number, bytes([number % 256]) * 32)}


@pytest.fixture
def file(tmp_path: Path, signer: Ed25519Signer) -> CheckpointFile:
    file = CheckpointFile(tmp_path / "checkpoints")
    for number in range(1, 6):
        assert file.append(heads(number), number, NOW, signer.sign)
    return file


@pytest.mark.proves("R96")
def test_checkpoints_are_read_as_written(file: CheckpointFile, signer: Ed25519Signer) -> None:
    good, faults = file.read(signer.check)
    assert not faults
    assert [(checkpoint.number, checkpoint.revision, dict(checkpoint.heads)) for checkpoint in good] == [
        (n, n, heads(n)) for n in range(1, 6)
    ]
    assert file.path.stat().st_mode & 0o777 == 0o600


def test_only_changed_heads_are_signed(file: CheckpointFile, signer: Ed25519Signer) -> None:
    assert not file.append(heads(5), 5, NOW, signer.sign)
    assert file.append({**heads(5), **heads(1, "w2")}, 6, NOW, signer.sign)
    good, _ = file.read(signer.check)
    assert dict(good[-1].heads) == heads(1, "w2")


def test_another_process_continues_the_file(file: CheckpointFile, signer: Ed25519Signer) -> None:
    assert CheckpointFile(file.path).append(heads(9), 9, NOW, signer.sign)
    good, faults = file.read(signer.check)
    assert (len(good), faults) == (6, [])


def test_a_missing_file_has_no_checkpoints(tmp_path: Path, signer: Ed25519Signer) -> None:
    assert CheckpointFile(tmp_path / "none").read(signer.check) == ([], [])


@pytest.mark.proves("R96")
@pytest.mark.parametrize(
    ("tampering", "line"),
    [
        ("changed", 3),
        ("deleted", 3),
        ("swapped", 2),
        ("duplicated", 3),
        ("first deleted", 1),
        ("truncated", 3),
        ("another key", 6),
        ("garbage after the last", 6),
        ("an invalid checkpoint", 6),
    ],
)
def test_a_changed_file_is_noticed(file: CheckpointFile, signer: Ed25519Signer, tampering: str, line: int) -> None:
    lines = file.path.read_bytes().splitlines(keepends=True)
    match tampering:
        case "changed":
            lines[2] = lines[2].replace(b'"revision":3', b'"revision":2')
        case "deleted":
            del lines[2]
        case "swapped":
            lines[1], lines[2] = lines[2], lines[1]
        case "duplicated":
            lines.insert(2, lines[1])
        case "first deleted":
            del lines[0]
        case "truncated":
            lines[2] = lines[2][:40] + b"\n"
        case "garbage after the last":
            lines.append(b"garbage\n")
        case "an invalid checkpoint":
            lines.append(b'{"content":{"previous":"","heads":{"main":7}},"kid":"key-1","signature":"00"}\n')
        case _:
            other = CheckpointFile(file.path.with_name("other"))
            other.append(heads(7), 7, NOW, Ed25519Signer().sign)
            lines.append(other.path.read_bytes())
    file.path.write_bytes(b"".join(lines))
    _, faults = file.read(signer.check)
    assert faults
    assert faults[0].line == line


@pytest.mark.proves("T-45")
@pytest.mark.parametrize("length", [1, 30, 100])
def test_an_incomplete_line_after_a_crash_breaks_no_other(
    file: CheckpointFile, signer: Ed25519Signer, length: int
) -> None:
    data = file.path.read_bytes()
    last = data.rstrip(b"\n").rpartition(b"\n")[2]
    file.path.write_bytes(data[: -len(last) - 1] + last[:length])
    good, faults = file.read(signer.check)
    assert (len(good), faults) == (4, [])
    assert CheckpointFile(file.path).append(heads(6), 6, NOW, signer.sign)
    good, faults = file.read(signer.check)
    assert ([checkpoint.number for checkpoint in good], faults) == ([1, 2, 3, 4, 5], [])


@contextmanager
def file_size_limit(size: int) -> Iterator[None]:
    """Limit the size of files that this process writes, to simulate a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.proves("R108")
@pytest.mark.parametrize("free_bytes", [0, 1, 60])
def test_a_full_disk_leaves_no_incomplete_line(file: CheckpointFile, signer: Ed25519Signer, free_bytes: int) -> None:
    before = file.path.read_bytes()
    with file_size_limit(len(before) + free_bytes), pytest.raises(OSError, match=r"too large|only partly written"):
        file.append(heads(8), 8, NOW, signer.sign)
    assert file.path.read_bytes() == before
    assert file.append(heads(8), 8, NOW, signer.sign)
    good, faults = file.read(signer.check)
    assert (dict(good[-1].heads), faults) == (heads(8), [])


def test_without_a_key_nothing_is_written(file: CheckpointFile) -> None:
    before = file.path.read_bytes()

    def fail(_: bytes) -> tuple[str, bytes]:
        raise Unavailable("no key available")

    with pytest.raises(Unavailable):
        file.append(heads(8), 8, NOW, fail)
    assert file.path.read_bytes() == before


def test_nothing_is_appended_after_unreadable_data(file: CheckpointFile, signer: Ed25519Signer) -> None:
    """The unreadable part may hold a checkpoint that the next one would have to follow."""
    with file.path.open("ab") as out:
        out.write(b"x" * (1 << 20) + b"\n")
    with pytest.raises(OSError, match="cannot be read"):
        CheckpointFile(file.path).append(heads(8), 8, NOW, signer.sign)


@pytest.mark.proves("R96", "T-39")
@pytest.mark.parametrize("loss", ["deleted", "empty", "shorter", "folder missing"])
def test_nothing_is_appended_to_a_file_that_was_rolled_back(
    file: CheckpointFile, signer: Ed25519Signer, loss: str
) -> None:
    before, aside = file.path.read_bytes(), file.path.with_name("aside")
    match loss:
        case "deleted":
            file.path.rename(aside)
        case "empty":
            file.path.write_bytes(b"")
        case "shorter":
            file.path.write_bytes(before[: before.rstrip(b"\n").rindex(b"\n") + 1])
        case _:
            file.path = file.path.parent / "unmounted" / "checkpoints"
    with pytest.raises(OSError, match=r"No such file|ends with the checkpoint"):
        file.append(heads(8), 8, NOW, signer.sign)
    if loss == "folder missing":
        file.path.parent.mkdir()
    file.path.write_bytes(before)
    assert file.append(heads(8), 8, NOW, signer.sign)
    good, faults = file.read(signer.check)
    assert (len(good), faults) == (6, [])


def test_a_link_is_not_followed(tmp_path: Path, signer: Ed25519Signer) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic"):
        CheckpointFile(tmp_path / "link").append(heads(1), 1, NOW, signer.sign)
