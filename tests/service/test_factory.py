"""What a service does not start with."""

from __future__ import annotations

from pathlib import Path

import pytest

from aizen_hub.service.factory import build_context
from aizen_hub.service.runtime.parent_death import StartupError
from tests.service.conftest import INSTANCE, settings_for


@pytest.mark.proves("R146")
def test_the_settings_of_a_further_hub_start_no_service(tmp_path: Path) -> None:
    panel = {"panel_url": "https://hub.example.org/services/aizen/", "service": {"managed": False}}
    settings = settings_for(tmp_path, **panel)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(StartupError, match="main hub"):
        build_context(settings, instance=INSTANCE, environ={})
    assert sorted(tmp_path.rglob("*")) == before, "it has no database of its own"
