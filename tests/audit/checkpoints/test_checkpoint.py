"""Checkpoints: signed, chained, appended; a line that was changed, lost or moved is found."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from aizen_hub.audit.checkpoints.checkpoint import CheckpointFile, Head
from aizen_hub.problems import Unavailable
from tests.audit.conftest import Signer

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def heads(number: int, writer: str = "main") -> dict[str, Head]:
    return {writer: Head(number, bytes([number % 256]) * 32)}


@pytest.fixture
def file(tmp_path: Path, signer: Signer) -> CheckpointFile:
    file = CheckpointFile(tmp_path / "checkpoints")
    for number in range(1, 6):
        assert file.append(heads(number), number, NOW, signer.sign)
    return file


@pytest.mark.proves("R96")
def test_what_was_written_is_read(file: CheckpointFile, signer: Signer) -> None:
    good, faults = file.read(signer.check)
    assert not faults
    assert [(one.number, one.revision, dict(one.heads)) for one in good] == [(n, n, heads(n)) for n in range(1, 6)]
    assert file.path.stat().st_mode & 0o777 == 0o600


def test_only_what_moved_is_signed(file: CheckpointFile, signer: Signer) -> None:
    assert not file.append(heads(5), 5, NOW, signer.sign)
    assert file.append({**heads(5), **heads(1, "w2")}, 6, NOW, signer.sign)
    good, _ = file.read(signer.check)
    assert dict(good[-1].heads) == heads(1, "w2")


def test_another_process_goes_on_where_the_first_ended(file: CheckpointFile, signer: Signer) -> None:
    assert CheckpointFile(file.path).append(heads(9), 9, NOW, signer.sign)
    good, faults = file.read(signer.check)
    assert (len(good), faults) == (6, [])


def test_no_file_has_no_checkpoints(tmp_path: Path, signer: Signer) -> None:
    assert CheckpointFile(tmp_path / "none").read(signer.check) == ([], [])


@pytest.mark.proves("R96")
@pytest.mark.parametrize(
    ("what", "line"),
    [
        ("changed", 3),
        ("lost", 3),
        ("swapped", 2),
        ("doubled", 3),
        ("first lost", 1),
        ("garbled", 3),
        ("another key", 6),
        ("rubbish behind the last", 6),
        ("a checkpoint of nothing", 6),
    ],
)
def test_a_changed_file_is_noticed(file: CheckpointFile, signer: Signer, what: str, line: int) -> None:
    lines = file.path.read_bytes().splitlines(keepends=True)
    match what:
        case "changed":
            lines[2] = lines[2].replace(b'"revision":3', b'"revision":2')
        case "lost":
            del lines[2]
        case "swapped":
            lines[1], lines[2] = lines[2], lines[1]
        case "doubled":
            lines.insert(2, lines[1])
        case "first lost":
            del lines[0]
        case "garbled":
            lines[2] = lines[2][:40] + b"\n"
        case "rubbish behind the last":
            lines.append(b"rubbish\n")
        case "a checkpoint of nothing":
            lines.append(b'{"content":{"previous":"","heads":{"main":7}},"kid":"key-1","signature":"00"}\n')
        case _:
            stranger = CheckpointFile(file.path.with_name("other"))
            stranger.append(heads(7), 7, NOW, Signer().sign)
            lines.append(stranger.path.read_bytes())
    file.path.write_bytes(b"".join(lines))
    _, faults = file.read(signer.check)
    assert faults
    assert faults[0].line == line


@pytest.mark.proves("T-45")
@pytest.mark.parametrize("left", [1, 30, 100])
def test_a_line_cut_short_by_a_crash_spoils_no_other(file: CheckpointFile, signer: Signer, left: int) -> None:
    data = file.path.read_bytes()
    last = data.rstrip(b"\n").rpartition(b"\n")[2]
    file.path.write_bytes(data[: -len(last) - 1] + last[:left])
    good, faults = file.read(signer.check)
    assert (len(good), faults) == (4, [])
    assert CheckpointFile(file.path).append(heads(6), 6, NOW, signer.sign)
    good, faults = file.read(signer.check)
    assert ([one.number for one in good], faults) == ([1, 2, 3, 4, 5], [])


@contextmanager
def full_at(size: int) -> Iterator[None]:
    """No file of this process grows beyond ``size``: what a disk does that is full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.proves("R108")
@pytest.mark.parametrize("room", [0, 1, 60])
def test_a_full_disk_leaves_no_half_line(file: CheckpointFile, signer: Signer, room: int) -> None:
    before = file.path.read_bytes()
    with full_at(len(before) + room), pytest.raises(OSError, match=r"too large|in part only"):
        file.append(heads(8), 8, NOW, signer.sign)
    assert file.path.read_bytes() == before
    assert file.append(heads(8), 8, NOW, signer.sign)
    good, faults = file.read(signer.check)
    assert (dict(good[-1].heads), faults) == (heads(8), [])


def test_without_a_key_nothing_is_written(file: CheckpointFile) -> None:
    before = file.path.read_bytes()

    def fail(_: bytes) -> tuple[str, bytes]:
        raise Unavailable("no key at hand")

    with pytest.raises(Unavailable):
        file.append(heads(8), 8, NOW, fail)
    assert file.path.read_bytes() == before


def test_behind_a_long_rubbish_nothing_is_appended(file: CheckpointFile, signer: Signer) -> None:
    """What cannot be read may hold a checkpoint that the next one would have to follow."""
    with file.path.open("ab") as out:
        out.write(b"x" * (1 << 20) + b"\n")
    with pytest.raises(OSError, match="cannot be read"):
        CheckpointFile(file.path).append(heads(8), 8, NOW, signer.sign)


@pytest.mark.proves("R96", "T-39")
@pytest.mark.parametrize("how", ["gone", "empty", "shorter", "folder gone"])
def test_a_file_that_went_back_gets_nothing_more(file: CheckpointFile, signer: Signer, how: str) -> None:
    before, aside = file.path.read_bytes(), file.path.with_name("aside")
    match how:
        case "gone":
            file.path.rename(aside)
        case "empty":
            file.path.write_bytes(b"")
        case "shorter":
            file.path.write_bytes(before[: before.rstrip(b"\n").rindex(b"\n") + 1])
        case _:
            file.path = file.path.parent / "unmounted" / "checkpoints"
    with pytest.raises(OSError, match=r"No such file|ends with number"):
        file.append(heads(8), 8, NOW, signer.sign)
    if how == "folder gone":
        file.path.parent.mkdir()
    file.path.write_bytes(before)
    assert file.append(heads(8), 8, NOW, signer.sign)
    good, faults = file.read(signer.check)
    assert (len(good), faults) == (6, [])


def test_a_link_is_not_followed(tmp_path: Path, signer: Signer) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic"):
        CheckpointFile(tmp_path / "link").append(heads(1), 1, NOW, signer.sign)
