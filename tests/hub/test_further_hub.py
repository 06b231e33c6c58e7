"""A hub that shares the service of another one: it has no panel, and no token of a service that signs people in."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from jupyterhub.app import JupyterHub
from traitlets.config import Config

from aizen_hub.hub import config_guard
from aizen_hub.hub.configure import configure
from aizen_hub.hub.login.authenticator import AizenAuthenticator
from aizen_hub.hub.panel_redirect import PanelRedirectHandler
from aizen_hub.settings import ConfigurationError

PANEL = "https://hub.example.org/services/aizen/"


def write_settings(folder: Path, **changes: Any) -> None:
    settings: dict[str, Any] = {
        "data_dir": "data",
        "panel_url": PANEL,
        "service": {"managed": False, "url": "https://aizen.example.org"},
        "hub_secret_file": "gpu-secret",
        "providers": [{"name": "corp", "kind": "local"}],
        "insecure_same_origin": True,
        "insecure_same_uid": True,
    }
    (folder / "aizen.yaml").write_text(yaml.safe_dump(settings | changes))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A hub with its secret; ``admin_user`` is a setting of the service only."""
    JupyterHub.clear_instance()
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir(0o700)
    secret = tmp_path / "gpu-secret"
    secret.touch(0o600)
    secret.write_text(secrets.token_hex(32))
    write_settings(tmp_path)
    yield tmp_path
    JupyterHub.clear_instance()


@pytest.mark.proves("R146")
def test_it_registers_no_service_and_no_scope_of_one(folder: Path) -> None:
    c = Config()
    configure(c)
    app = JupyterHub(config=c)
    app.authenticator = authenticator = AizenAuthenticator(parent=app)
    assert app.services == []
    assert not [scope for scope in app.extra_user_scopes if "services" in scope]
    assert not (folder / "data" / "service-api-token").exists()
    settings = authenticator.aizen_settings
    violations = list(config_guard.find_violations(app, settings))
    assert [found for found in violations if found.fatal or "scopes" in found.setting] == []


@pytest.mark.proves("R1", "R2")
def test_it_makes_no_secret_that_the_service_does_not_know(folder: Path) -> None:
    (folder / "gpu-secret").unlink()
    with pytest.raises(ConfigurationError, match="cannot be read"):
        AizenAuthenticator(config_file=str(folder / "aizen.yaml"))
    assert not (folder / "gpu-secret").exists()


def test_its_links_to_the_panel_lead_to_the_main_hub(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    configure(c := Config())
    app = JupyterHub(config=c)
    authenticator = AizenAuthenticator(parent=app)
    monkeypatch.setattr("aizen_hub.hub.login.authenticator.ServerMonitor.start", lambda self: None)
    monkeypatch.setattr("aizen_hub.hub.login.authenticator.enforce", lambda app, settings: None)
    handlers = authenticator.get_handlers(app)
    (redirect,) = [handler for handler in handlers if handler[1] is PanelRedirectHandler]
    assert redirect[2]["panel_url"] == PANEL
    paths = [handler[0] for handler in handlers]
    assert not {"/aizen/confirm", "/aizen/link"} & set(paths), "these sign in again for the panel"
