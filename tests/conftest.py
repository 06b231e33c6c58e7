"""The tiers: which real servers stand ready here, said in the header, and required where ``AIZEN_REQUIRE`` says so."""

from __future__ import annotations

import gc
import importlib.util
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

pytest_plugins = ("tests.fixtures.postgres",)
REQUIRED = "AIZEN_REQUIRE"
SEARCH_PATH = os.pathsep.join(
    [
        os.environ.get("PATH", os.defpath),
        "/usr/sbin",
        "/usr/local/sbin",
        "/usr/libexec",
        *(str(path) for path in sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)),
    ]
)


def _programs(*names: str) -> str | None:
    missing = [name for name in names if shutil.which(name, path=SEARCH_PATH) is None]
    return f"no {', '.join(missing)} on the search path" if missing else None


def _modules(*names: str) -> str | None:
    missing = [name for name in names if importlib.util.find_spec(name) is None]
    return f"no Python package {', '.join(missing)}" if missing else None


def _oidc() -> str | None:
    from tests.fixtures.oidc_provider_server import lacks

    return lacks()


def _browser() -> str | None:
    return _programs("chromium") or _modules("playwright")


def _keycloak() -> str | None:
    from tests.fixtures.keycloak import lacks

    return lacks()


def _samba() -> str | None:
    from tests.fixtures.samba import lacks

    return lacks()


def _accounts() -> str | None:
    from tests.fixtures.accounts import lacks

    return lacks()


TIERS: dict[str, Callable[[], str | None]] = {
    "unit": lambda: None,
    "slapd": lambda: _programs("slapd", "ldapadd") or _modules("slapd"),
    "samba": _samba,
    "postgres": lambda: _programs("initdb", "pg_ctl", "postgres") or _modules("psycopg"),
    "pgbouncer": lambda: _programs("pgbouncer"),
    "oidc": _oidc,
    "keycloak": _keycloak,
    "browser": _browser,
    "accounts": _accounts,
}
"""Each tier with a function that says what it lacks here, or nothing."""


@pytest.fixture(scope="session", autouse=True)
def catalogs_read_once() -> Iterator[None]:
    """Read each catalog of the package once: its YAML is half of what a service in a test's process takes to begin."""
    from aizen_hub.catalogs import loader

    read, once = loader.read_source, cache(loader.read_source)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loader, "read_source", lambda path: (once if path.parent == loader.FOLDER else read)(path))
        yield


def pytest_report_header() -> str:
    return "tiers: " + " | ".join(
        f"{name} yes" if lack is None else f"{name} no ({lack})"
        for name, lack in ((name, missing()) for name, missing in TIERS.items())
    )


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "needs(*tiers): the real servers without which this test cannot run")
    # Every server of a test is a Python of its own, which would compile all of its modules anew at each start.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    sys.dont_write_bytecode = False
    # A login, a token or a project of the shell's owner is not part of a test.
    for name in ("AIZEN_URL", "AIZEN_TOKEN", "AIZEN_TOKEN_FILE", "AIZEN_PROJECT", "AIZEN_HUB_URL", "AIZEN_HUB_TOKEN"):
        os.environ.pop(name, None)
    if hasattr(config, "workerinput"):
        return
    for name in filter(None, os.environ.get(REQUIRED, "").replace(" ", "").split(",")):
        if name not in TIERS:
            raise pytest.UsageError(f"{REQUIRED} names the tier `{name}`; there are {', '.join(TIERS)}")
        lack = TIERS[name]()
        if lack is not None:
            raise pytest.UsageError(f"{REQUIRED} asks for the tier `{name}`, but there is {lack}")


def pytest_collection_finish() -> None:
    # Thousands of tests and all their modules stay until the end: no garbage is looked for among them again and again.
    gc.collect()
    gc.freeze()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """One worker more than processors: there are always some that wait for a server, a lease or a grace to end."""
    return len(os.sched_getaffinity(0)) + 1


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    from tests.fixtures.schedule import Schedule

    return Schedule(config, log) if config.getoption("dist") == "loadfile" else None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if hasattr(config, "workerinput"):
        from tests.fixtures.schedule import longest_first

        items[:] = longest_first(items)
    lacks = {name: missing() for name, missing in TIERS.items()}
    for item in items:
        for marker in item.iter_markers("needs"):
            for tier in marker.args:
                if lacks[tier] is not None:
                    item.add_marker(pytest.mark.skip(reason=f"tier {tier}: {lacks[tier]}"))
