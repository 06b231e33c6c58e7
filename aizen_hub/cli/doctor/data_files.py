"""Checks of the data folder, the disks, and the file with the checkpoints of the audit."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from aizen_hub.cli.doctor.config_files import account_name
from aizen_hub.diagnosis.check_result import CheckResult, in_settings
from aizen_hub.diagnosis.installation import Installation
from aizen_hub.settings import Settings

MOUNTINFO = Path("/proc/self/mountinfo")
_NETWORK_FILE_SYSTEMS = (
    "nfs",
    "nfs4",
    "cifs",
    "smb3",
    "9p",
    "afs",
    "ceph",
    "glusterfs",
    "fuse.sshfs",
    "lustre",
    "beegfs",
)
_LOW_BYTES, _NO_BYTES = 1 << 30, 100 << 20
_LOW_FILES = 1_000


def check_data_folder(installation: Installation) -> Iterator[CheckResult]:
    folder, where = installation.settings.data_dir, in_settings("data_dir")
    if not folder.exists():
        parent = next(parent for parent in folder.absolute().parents if parent.exists())
        if parent.is_dir() and os.access(parent, os.W_OK | os.X_OK):
            yield CheckResult.warning(
                "data-folder",
                where,
                f"{folder} does not exist yet",
                "the hub or the service creates it at its first start",
            )
        else:
            yield CheckResult.error(
                "data-folder",
                where,
                f"{folder} cannot be created: this account cannot write to {parent}",
                f"create it for the service's account: install -d -m 700 {folder}; or correct data_dir",
            )
        return
    if not folder.is_dir():
        yield CheckResult.error(
            "data-folder", where, f"{folder} is no folder", "move the file away, or correct data_dir"
        )
        return
    status = folder.stat()
    if status.st_uid != os.geteuid():
        owner = account_name(status.st_uid)
        yield CheckResult.error(
            "account",
            where,
            f"{folder} belongs to the account `{owner}`, and this is `{account_name(os.geteuid())}`",
            f"run this command as the service's account, for example: sudo -u {owner} aizen-hub doctor",
        )
    elif not os.access(folder, os.W_OK | os.X_OK):
        yield CheckResult.error(
            "data-folder", where, f"{folder} cannot be written", f"chmod 700 {folder}, or mount its disk writable"
        )
    if stat.S_IMODE(status.st_mode) & 0o077:
        yield CheckResult.error("open-folder", str(folder), f"other accounts can open {folder}", f"chmod 700 {folder}")
    for path in sorted(folder.iterdir()):
        try:
            mode = path.lstat().st_mode
        except FileNotFoundError:
            continue  # a helper file of SQLite
        if stat.S_ISREG(mode) and mode & 0o077:
            yield CheckResult.error("open-file", str(path), f"other accounts can read {path}", f"chmod 600 {path}")
    yield from _check_file_system(installation)


def check_disks(installation: Installation) -> Iterator[CheckResult]:
    settings = installation.settings
    folders = [settings.data_dir]
    if settings.checkpoint_database is None:
        folders.append(settings.checkpoint_path.parent)
    if settings.uses_sqlite:
        folders.append(_database_file(settings).parent)
    if installation.hub_config_path.exists():
        folders.append(installation.hub_config_path.absolute().parent)
    devices: set[int] = set()
    for folder in folders:
        if not folder.is_dir() or folder.stat().st_dev in devices:
            continue
        devices.add(folder.stat().st_dev)
        disk = os.statvfs(folder)
        free = disk.f_bavail * disk.f_frsize
        if free < _LOW_BYTES:
            yield CheckResult(
                "disk",
                "fail" if free < _NO_BYTES else "warn",
                str(folder),
                f"the disk of {folder} has only {free >> 20} MiB left: without space nothing is decided",
                "free space on it, for example with `aizen-hub audit archive` and `aizen-hub db compact`",
            )
        elif disk.f_files and disk.f_favail < _LOW_FILES:
            yield CheckResult.warning(
                "disk",
                str(folder),
                f"the disk of {folder} has room for only {disk.f_favail} more files",
                "delete files",
            )


def check_checkpoint_file(installation: Installation) -> Iterator[CheckResult]:
    settings = installation.settings
    if settings.checkpoint_database is not None:
        return
    path, where = settings.checkpoint_path, in_settings("checkpoint_file")
    if settings.uses_sqlite and path.absolute().parent == _database_file(settings).absolute().parent:
        yield CheckResult.warning(
            "checkpoint-storage",
            where,
            "the audit's checkpoints are beside the database: who replaces one by an older copy can replace both",
            "put checkpoint_file on another disk, that only the service's account can write",
            production=True,
        )
    if not path.absolute().parent.is_dir():
        if path.absolute().parent != settings.data_dir.absolute():
            yield CheckResult.error(
                "checkpoint-file",
                where,
                f"the folder of {path} does not exist: the service would be sealed",
                f"mount its disk, or create it: install -d -m 700 {path.parent}",
            )
        return
    try:
        status = path.lstat()
    except FileNotFoundError:
        if not os.access(path.absolute().parent, os.W_OK | os.X_OK):
            yield CheckResult.error(
                "checkpoint-file", where, f"{path} cannot be created", f"make {path.parent} writable for this account"
            )
        return
    if not stat.S_ISREG(status.st_mode):
        yield CheckResult.error(
            "checkpoint-file", where, f"{path} is no plain file, so nothing can be signed", "name a plain file"
        )
    elif status.st_uid != os.geteuid() or not os.access(path, os.W_OK):
        yield CheckResult.error(
            "checkpoint-file",
            where,
            f"{path} cannot be written by this account, so nothing can be signed",
            f"chown {account_name(os.geteuid())} {path}; chmod 600 {path}",
        )
    elif stat.S_IMODE(status.st_mode) & 0o077 and path.absolute().parent != settings.data_dir.absolute():
        yield CheckResult.error("open-file", str(path), f"other accounts can read {path}", f"chmod 600 {path}")


def _check_file_system(installation: Installation) -> Iterator[CheckResult]:
    settings = installation.settings
    if not settings.uses_sqlite:
        return
    folder = _database_file(settings).absolute().parent.resolve()
    kind = _find_file_system(folder)
    if kind in _NETWORK_FILE_SYSTEMS:
        yield CheckResult.error(
            "network-file-system",
            in_settings("database" if settings.database else "data_dir"),
            f"the SQLite database is on a network file system ({kind}), where its locks do not work",
            "move it to a local disk, or use PostgreSQL",
        )


def _find_file_system(folder: Path) -> str | None:
    """Return the type of the file system of a folder; None if unknown."""
    try:
        lines = MOUNTINFO.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return None
    best: tuple[int, str] | None = None
    for line in lines:
        mount, _, source = line.partition(" - ")
        fields = mount.split()
        if len(fields) < 5 or not source.split():
            continue
        point = fields[4].replace("\\040", " ")
        # The last mount at a place is the visible one.
        if folder.is_relative_to(point) and (best is None or len(point) >= best[0]):
            best = len(point), source.split()[0]
    return None if best is None else best[1]


def _database_file(settings: Settings) -> Path:
    from aizen_hub.store.database import database_url, sqlite_path

    return sqlite_path(database_url(settings.database_url))
