"""Checks of this machine: installed packages, account, clock and variables."""

from __future__ import annotations

import logging
import math
import os
import sqlite3
import sys
from collections.abc import Iterator
from importlib import metadata

from aizen_hub.diagnosis.check_result import CheckResult

FLOORS = {
    "jupyterhub": (6, 1),
    "oauthenticator": (17, 4),
    "jupyterhub-ldapauthenticator": (2, 0, 2),
    "pyjwt": (2, 12),
    "tornado": (6, 5, 5),
    "aiohttp": (3, 14, 4),
}
SQLITE_FLOOR = (3, 40)
_LOG_LEVEL = "AIZEN_LOG_LEVEL"


def check_packages() -> Iterator[CheckResult]:
    for name, floor in FLOORS.items():
        required = f"pip install '{name}>={'.'.join(map(str, floor))}'"
        try:
            installed = metadata.version(name)
        except metadata.PackageNotFoundError:
            yield CheckResult.error("package", name, f"the package {name} is not installed", required)
            continue
        numbers = tuple(int(part) for part in installed.split(".")[: len(floor)] if part.isdigit())
        if numbers < floor:
            yield CheckResult.error("package", name, f"{name} {installed} is too old", required)
    if sqlite3.sqlite_version_info < SQLITE_FLOOR:
        yield CheckResult.error(
            "sqlite-version",
            "the SQLite library of this Python",
            f"SQLite {sqlite3.sqlite_version} is too old",
            f"use a Python with SQLite {'.'.join(map(str, SQLITE_FLOOR))} or newer, or PostgreSQL",
        )
    yield CheckResult.passed("package", f"aizen-hub {metadata.version('aizen-hub')} on Python {sys.version.split()[0]}")


def check_account() -> Iterator[CheckResult]:
    if os.geteuid() == 0:
        yield CheckResult.warning(
            "root",
            "the account of this process",
            "this is root: a service that runs as root gives its whole machine to anyone who takes it over",
            "run the service, and this command, under an account of its own: useradd --system aizen",
            production=True,
        )


def check_clock() -> Iterator[CheckResult]:
    from aizen_hub.service.runtime.clock_check import kernel_ntp_status

    synchronised, _ = kernel_ntp_status()
    if not math.isnan(synchronised) and not synchronised:
        yield CheckResult.warning(
            "ntp",
            "the clock of this machine",
            "no NTP synchronises this machine's clock: tokens and expiry dates depend on it",
            "timedatectl set-ntp true, or run chrony",
            production=True,
        )


def check_variables() -> Iterator[CheckResult]:
    level = os.environ.get(_LOG_LEVEL, "INFO").upper()
    if level not in logging.getLevelNamesMapping():
        yield CheckResult.error(
            "log-level",
            f"the variable {_LOG_LEVEL}",
            f"`{level[:20]}` is no log level, so the service does not start",
            f"set {_LOG_LEVEL} to DEBUG, INFO, WARNING or ERROR",
        )
