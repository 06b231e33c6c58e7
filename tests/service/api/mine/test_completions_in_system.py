"""A command of the system names nothing of the projects."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from tests.service.api.mine.test_completions import add_job, completions
from tests.service.conftest import Driver

START = "  - {command: start training, "
INSPECT = (
    '  - {command: inspect training, group: Other, permission: create:project, scope: system, grammar: "<name>"}\n'
)


@pytest.fixture
def options(tmp_path: Path) -> dict[str, Any]:
    text = files("aizen_hub.catalogs").joinpath("aizen.yaml").read_text()
    assert START in text
    catalog = tmp_path / "with_inspect.yaml"
    catalog.write_text(text.replace(START, INSPECT + START))
    return {"catalog": str(catalog)}


@pytest.mark.proves("R72")
async def test_a_right_in_the_system_tells_no_names_of_jobs_in_projects(service: Driver) -> None:
    add_job(service, "1", "zoe", "p2", "chess", "start training chess depth=3")
    add_job(service, "2", "zoe", "system", "chart", "start training chart")
    maker = await service.open("maker", None)
    assert await completions(service, maker.auth, line="inspect training ch", project="p2") == ["chart"]
    assert await completions(service, maker.auth, line="inspect training ch") == ["chart"], "no project is needed"
    assert await completions(service, maker.auth, line="status training ch") == [], "one is needed"
