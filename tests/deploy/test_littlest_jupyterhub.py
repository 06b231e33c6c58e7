"""``deploy/tljh`` after the settings that The Littlest JupyterHub 2 makes: a hub that the guard lets start."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from jupyterhub.app import JupyterHub
from jupyterhub.spawner import Spawner
from traitlets import Bool, Dict, List, Unicode
from traitlets.config import Config

from aizen_hub.hub import config_guard
from aizen_hub.hub.login.authenticator import AizenAuthenticator
from aizen_hub.settings import Settings

FOLDER = Path(__file__).parents[2] / "deploy" / "tljh"


class SystemdSpawner(Spawner):
    """The settings of jupyterhub-systemdspawner 1.0 that TLJH and the recipe use; it starts nothing."""

    default_shell = Unicode("/bin/bash").tag(config=True)
    extra_paths = List().tag(config=True)
    isolate_devices = Bool().tag(config=True)
    isolate_tmp = Bool().tag(config=True)
    unit_extra_properties = Dict().tag(config=True)
    unit_name_template = Unicode("jupyter-{USERNAME}-singleuser").tag(config=True)
    username_template = Unicode("{USERNAME}").tag(config=True)

    async def start(self) -> None:
        raise AssertionError("no test starts it")

    async def stop(self, now: bool = False) -> None:
        raise AssertionError("no test stops it")

    async def poll(self) -> int:
        return 0


class UserCreatingSpawner(SystemdSpawner):
    user_groups = Dict().tag(config=True)


def settings_of_tljh(administrators: set[str]) -> Config:
    """Return what TLJH 2 sets before it reads `jupyterhub_config.d`, with its defaults."""
    c = Config()
    c.JupyterHub.spawner_class = UserCreatingSpawner
    c.JupyterHub.cleanup_servers = False
    c.JupyterHub.hub_port = 15001
    c.JupyterHub.base_url = "/"
    c.SystemdSpawner.default_shell = "/bin/bash"
    c.SystemdSpawner.extra_paths = ["/opt/tljh/user/bin"]
    c.SystemdSpawner.unit_name_template = "jupyter-{USERNAME}"
    c.SystemdSpawner.username_template = "jupyter-{USERNAME}"
    c.JupyterHub.authenticator_class = "firstuseauthenticator.FirstUseAuthenticator"
    c.FirstUseAuthenticator.create_users = False
    c.FirstUseAuthenticator.allow_all = True
    c.Authenticator.allowed_users = set()
    c.Authenticator.blocked_users = set()
    c.Authenticator.admin_users = administrators
    c.UserCreatingSpawner.user_groups = {}
    c.Spawner.mem_limit = c.Spawner.cpu_limit = None
    c.Spawner.default_url = "/lab"
    c.JupyterHub.services = [
        {"name": "cull-idle", "admin": True, "command": ["python3", "-m", "jupyterhub_idle_culler"]}
    ]
    return c


@pytest.fixture
def make_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    settings = yaml.safe_load((FOLDER / "aizen.yaml").read_text(encoding="utf-8"))
    (tmp_path / "aizen.yaml").write_text(yaml.safe_dump(settings | {"data_dir": str(tmp_path / "data")}))
    code = (FOLDER / "aizen.py").read_text(encoding="utf-8").replace("/opt/tljh/config", str(tmp_path))
    monkeypatch.chdir(tmp_path)

    def make(administrators: set[str]) -> Any:
        JupyterHub.clear_instance()
        config = settings_of_tljh(administrators)
        exec(compile(code, "aizen.py", "exec"), {"get_config": lambda: config})
        app = JupyterHub(config=config)
        app.authenticator = AizenAuthenticator(parent=app)
        return app

    yield make
    JupyterHub.clear_instance()


def faults(app: Any) -> list[str]:
    return [
        found.setting for found in config_guard.find_violations(app, app.authenticator.aizen_settings) if found.fatal
    ]


@pytest.mark.proves("R1")
def test_nothing_keeps_the_hub_from_starting(make_hub: Any) -> None:
    app = make_hub(set())
    assert faults(app) == []
    assert app.allow_named_servers is False, "the unit of a user has one name, so a second server ends the first"
    assert {"cull-idle", "aizen"} <= {service["name"] for service in app.services}


def test_administrators_of_tljh_keep_it_from_starting(make_hub: Any) -> None:
    assert faults(make_hub({"alice"})) == ["Authenticator.admin_users"]


def test_every_setting_of_the_recipe_exists(make_hub: Any) -> None:
    """A misspelt trait has no effect, and no error either."""
    app = make_hub(set())
    for cls in (SystemdSpawner, Spawner, JupyterHub):
        assert set(app.config[cls.__name__]) <= set(cls.class_trait_names())


def test_the_settings_fit_the_folders_of_tljh() -> None:
    settings = Settings.load(FOLDER / "aizen.yaml", {})
    assert settings.data_dir.is_relative_to("/opt/tljh/state")
    assert settings.service.managed
