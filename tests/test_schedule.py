"""The order of the tests names what is there, and keeps together what shares a server."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fixtures.schedule import ADDED, GROUPED, UNGROUPED, WITH_INSTALLATION, work_unit

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("name", sorted({*WITH_INSTALLATION, *GROUPED, *UNGROUPED, *ADDED}))
def test_what_it_names_is_there(name: str) -> None:
    assert (ROOT / name).is_dir() if name.endswith("/") else (ROOT / name).is_file()


@pytest.mark.parametrize(
    ("nodeid", "whole"),
    [
        ("tests/store/test_sql_store.py::test_one[a::b]", "tests/store/test_sql_store.py"),
        ("tests/hub/running/test_start.py::TestChannels::test_one", "tests/hub/running/"),
        ("tests/faults/test_sqlite.py::test_one", "tests/faults/"),
        ("tests/faults/test_failover.py::test_one", "tests/faults/test_failover.py"),
        ("tests/service/panel/test_documentation_pages.py::test_one", "tests/docs/"),
    ],
)
def test_a_test_goes_with_its_module_or_its_folder(nodeid: str, whole: str) -> None:
    assert work_unit(nodeid) == whole
