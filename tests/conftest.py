"""Tiers: the real servers that are available on this machine. ``AIZEN_REQUIRE`` names those that must be."""

from __future__ import annotations

import gc
import importlib.util
import logging
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from tests.fixtures.browser.axe_script import AXE_SCRIPT

# How fast examples are made and run is the machine's load, and no property of what is tested.
hypothesis.settings.register_profile("suite", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("suite")
pytest_plugins = ("tests.fixtures.databases.postgres", "tests.fixtures.stuck_tests")
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
    from tests.fixtures.identity.oidc_provider_server import missing_requirements

    return missing_requirements()


def _browser() -> str | None:
    missing = _modules("playwright")
    if missing is None:
        from tests.fixtures.browser import pages

        missing = None if pages.find_program() else f"no {' or '.join(pages.PROGRAMS)} on the search path"
    return missing


def _axe() -> str | None:
    return None if AXE_SCRIPT.is_file() else "no axe-core: `make test` installs it with npm"


def _lab_build() -> str | None:
    if not (Path(__file__).parents[1] / "lab" / "node_modules" / ".package-lock.json").is_file():
        return "no packages in lab/node_modules: `make test` installs them with npm"
    return _programs("node")


def _keycloak() -> str | None:
    from tests.fixtures.identity.keycloak import missing_requirements

    return missing_requirements()


def _samba() -> str | None:
    from tests.fixtures.identity.samba import missing_requirements

    return missing_requirements()


def _accounts() -> str | None:
    from tests.fixtures.accounts import missing

    return missing()


def _slurm() -> str | None:
    from tests.fixtures.engines.slurm import missing_requirements

    return _modules("batchspawner") or missing_requirements()


def _docker() -> str | None:
    from tests.fixtures.engines.docker_daemon import missing_requirements

    return _modules("docker", "dockerspawner") or missing_requirements()


def _kubernetes() -> str | None:
    from tests.fixtures.engines.kubernetes import missing_requirements

    return _modules("kubespawner") or missing_requirements()


def _kubelet() -> str | None:
    from tests.fixtures.engines.kubelet import missing_requirements

    return _modules("kubespawner") or missing_requirements()


def _given_cluster() -> str | None:
    from tests.fixtures.engines.given_cluster import missing_requirements

    return _modules("kubespawner") or missing_requirements()


TIERS: dict[str, Callable[[], str | None]] = {
    "unit": lambda: None,
    "slapd": lambda: _programs("slapd", "ldapadd") or _modules("slapd"),
    "samba": _samba,
    "postgres": lambda: _programs("initdb", "pg_ctl", "postgres") or _modules("psycopg"),
    "pgbouncer": lambda: _programs("pgbouncer"),
    "haproxy": lambda: _programs("haproxy"),
    "oidc": _oidc,
    "keycloak": _keycloak,
    "browser": _browser,
    "axe": _axe,
    "lab-build": _lab_build,
    "accounts": _accounts,
    "slurm": _slurm,
    "docker": _docker,
    "kubernetes": _kubernetes,
    "kubelet": _kubelet,
    "given-cluster": _given_cluster,
}
"""Each tier with a function that returns what it lacks on this machine, or None."""


@pytest.fixture(autouse=True)
def own_parent_of_the_package_logger() -> Iterator[None]:
    """Undo what `hub.configure` does for the whole process of a hub: its log takes the lines of this package."""
    logger = logging.getLogger("aizen_hub")
    parent = logger.parent
    yield
    logger.parent = parent


def pytest_report_header() -> str:
    reasons = {name: missing() for name, missing in TIERS.items()}
    return "tiers: " + " | ".join(
        f"{name} yes" if reason is None else f"{name} no ({reason})" for name, reason in reasons.items()
    )


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "needs(*tiers): the real servers without which this test cannot run")
    # Servers in tests are separate Python processes, which would compile all modules at each start.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    sys.dont_write_bytecode = False
    # Settings of the developer's shell must not influence tests.
    for name in ("AIZEN_URL", "AIZEN_TOKEN", "AIZEN_TOKEN_FILE", "AIZEN_PROJECT", "AIZEN_HUB_URL", "AIZEN_HUB_TOKEN"):
        os.environ.pop(name, None)
    if hasattr(config, "workerinput"):
        return
    for name in filter(None, os.environ.get(REQUIRED, "").replace(" ", "").split(",")):
        if name not in TIERS:
            raise pytest.UsageError(f"{REQUIRED} names an unknown tier `{name}`; known are {', '.join(TIERS)}")
        reason = TIERS[name]()
        if reason is not None:
            raise pytest.UsageError(f"{REQUIRED} requires the tier `{name}`, but there is {reason}")


def pytest_collection_finish() -> None:
    # Thousands of tests and their modules live until the end: the garbage collector need not scan them each time.
    gc.collect()
    gc.freeze()


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """Release the services that the tests of a module have started.

    aiohttp keeps the handlers of the last 1,024 routes, and with each its whole application. In a run of all tests that
    were some 500 services, five million objects, which the garbage collector scanned again and again.
    """
    web_app = sys.modules.get("aiohttp.web_app")
    if web_app is not None and (nextitem is None or nextitem.path != item.path):
        web_app._cached_build_middleware.cache_clear()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Two workers more than processors, since some always wait for a server or for real time."""
    return len(os.sched_getaffinity(0)) + 2


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    from tests.fixtures.schedule import Schedule

    return Schedule(config, log) if config.getoption("dist") == "loadfile" else None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    from tests.fixtures.schedule import is_unit_test, longest_first

    if hasattr(config, "workerinput"):
        items[:] = longest_first(items)
    reasons = {name: missing() for name, missing in TIERS.items()}
    for item in items:
        needed = {tier for marker in item.iter_markers("needs") for tier in marker.args}
        for tier in sorted(needed):
            if reasons[tier] is not None:
                item.add_marker(pytest.mark.skip(reason=f"tier {tier}: {reasons[tier]}"))
        if is_unit_test(item.nodeid) and not needed and not any(map(item.get_closest_marker, ("slow", "faults"))):
            item.add_marker(pytest.mark.unit)
