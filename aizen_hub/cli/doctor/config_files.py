"""Checks of who can change the configuration files, and so the service and the hub."""

from __future__ import annotations

import os
import pwd
import stat
from collections.abc import Iterator
from pathlib import Path

from aizen_hub.diagnosis.check_result import CheckResult


def check_config_files(*paths: Path) -> Iterator[CheckResult]:
    folders: set[Path] = set()
    for path in paths:
        try:
            status, folder = path.stat(), path.absolute().parent.stat()
        except OSError:
            continue  # reported where the file is read
        if status.st_mode & stat.S_IWOTH:
            yield CheckResult.error(
                "config-file-writable",
                str(path),
                f"every account of this machine can change {path}, and with it what the hub and the service do",
                f"chmod go-w {path}",
            )
        elif status.st_mode & stat.S_IWGRP:
            yield CheckResult.warning(
                "config-file-writable", str(path), f"the group of {path} can change it", f"chmod go-w {path}"
            )
        parent = path.absolute().parent
        if folder.st_mode & stat.S_IWOTH and not folder.st_mode & stat.S_ISVTX and parent not in folders:
            folders.add(parent)
            yield CheckResult.error(
                "config-folder-writable",
                str(parent),
                f"every account of this machine can replace {path.name}, since its folder is writable for all",
                f"chmod o-w {parent}",
            )
        if status.st_uid not in (0, os.geteuid()):
            yield CheckResult.error(
                "config-file-owner",
                str(path),
                f"{path} belongs to the account `{account_name(status.st_uid)}`, which can change it",
                f"chown root {path}",
            )


def account_name(uid: int) -> str:
    """Return the name of an account of this machine, or its number if it has none."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
