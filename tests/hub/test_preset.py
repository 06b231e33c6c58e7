"""The hub's part of a preset, in a configuration and in a running hub."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from traitlets.config import Config

from aizen_hub.accounts.projects import lifecycle
from aizen_hub.hub.preset import apply_preset, find_hub_values, is_applied
from aizen_hub.rbac.identity import Identity
from aizen_hub.settings import Settings
from tests.fixtures.hub import environment_of, running_hub

LARGE = Settings(preset="large")
INTERVAL = "JUPYTERHUB_ACTIVITY_INTERVAL"


def configured(**sections: dict[str, Any]) -> Config:
    c = Config({name: Config(values) for name, values in sections.items()})
    apply_preset(c, LARGE)
    return c


def kept(c: Config) -> list[str]:
    return [entry.name for entry in find_hub_values(LARGE) if not is_applied(c, entry)]


def test_all_entries_are_set_where_nothing_is() -> None:
    c = configured()
    assert kept(c) == []
    assert c.JupyterHub.active_server_limit == 3000


def test_without_a_preset_nothing_is_set() -> None:
    c = Config()
    apply_preset(c, Settings())
    assert dict(c) == {}
    assert find_hub_values(Settings()) == ()


def test_what_the_administrator_has_set_is_kept() -> None:
    c = configured(JupyterHub={"active_server_limit": 0}, Spawner={"poll_interval": 5})
    assert kept(c) == ["JupyterHub.active_server_limit", "Spawner.poll_interval"]
    assert (c.JupyterHub.active_server_limit, c.Spawner.poll_interval) == (0, 5)
    assert c.JupyterHub.concurrent_spawn_limit == 200


def test_variables_of_servers_are_completed() -> None:
    c = configured(Spawner={"environment": {"A": "1"}}, KubeSpawner={"environment": {"B": "2"}})
    assert c.Spawner.environment == {"A": "1", INTERVAL: "900"}
    # It replaces that of the base class.
    assert c.KubeSpawner.environment == {"B": "2", INTERVAL: "900"}
    assert configured(Spawner={"environment": {INTERVAL: "60"}}).Spawner.environment == {INTERVAL: "60"}


@pytest.mark.parametrize(
    ("given", "expected"), [({"A": "1"}, {"A": "1", INTERVAL: "900"}), ({INTERVAL: "5"}, {INTERVAL: "5"})]
)
def test_variables_that_were_added_where_none_were_set_are_kept(
    given: dict[str, str], expected: dict[str, str]
) -> None:
    c = Config()
    c.Spawner.environment.update(given)
    apply_preset(c, LARGE)
    assert c.Spawner.environment.get_value({}) == expected


# What the running hub and its spawner have, when a server starts.
RECORD = """
import json
def _record(spawner):
    _prepare_server(spawner)
    hub = spawner.user.settings
    values = {name: hub[name] for name in ("concurrent_spawn_limit", "active_server_limit", "activity_resolution")}
    values["poll_interval"] = spawner.poll_interval
    open("values.json", "w").write(json.dumps(values))
c.Spawner.pre_spawn_hook = _record
c.JupyterHub.concurrent_spawn_limit = 7
"""


@pytest.mark.slow
def test_a_running_hub_has_the_values(tmp_path: Path) -> None:
    def seed(tx: Any) -> None:
        lifecycle.create_project(tx, "churn", owner=Identity.user("ada"))

    with running_hub(
        tmp_path, {"preset": "large"}, accounts=("ada",), seed=seed, config=RECORD, fake_servers=("ada",)
    ) as hub:
        browser = hub.login("ada")
        environment = environment_of(browser, hub.spawn(browser, "churn"))
    values = json.loads((tmp_path / "values.json").read_text())
    assert values == {
        "concurrent_spawn_limit": 7,  # the administrator's
        "active_server_limit": 3000,
        "activity_resolution": 600,
        "poll_interval": 120,
    }
    assert environment[INTERVAL] == "900"
