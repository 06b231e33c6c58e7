"""What the Zero-to-JupyterHub chart sets before `configure` is called, and what of it would be unsafe."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from jupyterhub.app import JupyterHub
from traitlets.config import Config

from aizen_hub.api_models.command_line import HUB_SERVICE, client_secret
from aizen_hub.hub import config_guard
from aizen_hub.hub.configure import configure
from aizen_hub.hub.login.authenticator import AizenAuthenticator
from aizen_hub.settings import ConfigurationError
from tests.test_secret_files import mount, write

TOKEN = "0123456789abcdef" * 4


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The configuration of a hub pod: secrets are mounted, and the folder of the hub is not there."""
    JupyterHub.clear_instance()
    monkeypatch.chdir(tmp_path)
    mount(tmp_path / "secrets", "..2026_1", secrets.token_hex(32))
    settings: dict[str, Any] = {
        "data_dir": str(tmp_path / "none"),
        "database": "postgresql://aizen@db.example.org/aizen",
        "service": {"managed": False, "url": "http://aizen:9095"},
        "hub_secret_file": "secrets/hub-secret",
        "insecure_same_origin": True,
        "insecure_same_uid": True,
    }
    (tmp_path / "aizen.yaml").write_text(yaml.safe_dump(settings))
    yield tmp_path
    JupyterHub.clear_instance()


def chart_config(**service: Any) -> Config:
    """Return what the chart's own configuration has set, from its default values and ``hub.services.aizen``."""
    c = Config()
    c.JupyterHub.authenticator_class = "dummy"
    c.JupyterHub.admin_access = True
    c.JupyterHub.cookie_secret = secrets.token_bytes(32)
    c.CryptKeeper.keys = [secrets.token_bytes(32)]
    c.JupyterHub.services = [{"name": "aizen", "url": "http://aizen-service:9095", "api_token": TOKEN, **service}]
    c.JupyterHub.load_roles = []
    return c


def test_the_settings_of_the_chart_are_accepted(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    c = chart_config(oauth_no_confirm=False, display=False)
    with caplog.at_level(logging.WARNING):
        configure(c)
    app = JupyterHub(config=c)
    app.authenticator = AizenAuthenticator(parent=app)
    assert app.authenticator_class is AizenAuthenticator
    assert app.admin_access is False
    assert "admin_access is switched off" in caplog.text
    service, client = app.services
    assert (client["name"], client["api_token"]) == (HUB_SERVICE, client_secret(TOKEN)), "of `aizen-hub login`"
    assert (service["url"], service["api_token"]) == ("http://aizen-service:9095", TOKEN)
    assert "command" not in service
    fatal = [found for found in config_guard.find_violations(app, app.authenticator.aizen_settings) if found.fatal]
    assert fatal == []
    assert not (folder / "none").exists(), "nothing is written where the hub has no folder"


def test_an_entry_that_was_appended_is_found(folder: Path) -> None:
    c = chart_config()
    (entry,) = c.JupyterHub.pop("services")
    c.JupyterHub.services.append(entry)
    configure(c)
    service, _ = JupyterHub(config=c).services
    assert (service["api_token"], service["oauth_no_confirm"]) == (TOKEN, True)


@pytest.mark.parametrize("more", [{"admin": True}, {"command": ["sh"]}, {"oauth_client_allowed_scopes": ["inherit"]}])
@pytest.mark.proves("R1")
def test_an_entry_with_rights_is_refused(folder: Path, more: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=f"`{next(iter(more))}`.*leave only `api_token`"):
        configure(chart_config(**more))


def test_an_entry_beside_a_managed_service_is_refused(folder: Path) -> None:
    write(folder / "aizen.yaml", "insecure_same_origin: true")
    with pytest.raises(ConfigurationError, match=r"write `service: \{managed: false\}` into aizen\.yaml"):
        configure(chart_config())
