"""``aizen-hub init``: which host user servers have, with the reason."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from traitlets.config import Config

from aizen_hub.cli.exit_codes import ExitCode
from aizen_hub.cli.main import cli
from aizen_hub.settings import Settings


def run(*arguments: str) -> Any:
    return CliRunner().invoke(cli, list(arguments), standalone_mode=False)


def load(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    c = Config()
    monkeypatch.chdir(folder)
    text = (folder / "jupyterhub_config.py").read_text()
    exec(compile(text, "jupyterhub_config.py", "exec"), {"get_config": lambda: c})
    return c


@pytest.mark.proves("R137")
@pytest.mark.parametrize(
    ("arguments", "subdomain_host", "reason"),
    [
        ([], "http://hub.localhost:8000", "find *.localhost on their own machine"),
        (["--hub-url", "https://hub.example.org/"], "https://hub.example.org", "certificate for hub.example.org and *"),
        (["--hub-url", "http://127.0.0.1:8000"], "", "since 127.0.0.1 has no subdomains"),
        (["--hub-url", "https://hub"], "", "since hub has no subdomains"),
    ],
)
def test_either_hosts_of_their_own_or_the_flag(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], subdomain_host: str, reason: str
) -> None:
    assert run("init", str(tmp_path), *arguments).return_value == ExitCode.DONE
    c = load(tmp_path, monkeypatch)
    assert c.JupyterHub.get("subdomain_host", "") == subdomain_host
    assert reason in (tmp_path / "jupyterhub_config.py").read_text()
    assert Settings.load(tmp_path / "aizen.yaml", {}).insecure_same_origin is not bool(subdomain_host)


@pytest.mark.parametrize("url", ["hub.example.org", "ftp://hub.example.org", "https://hub.example.org/path"])
def test_an_invalid_address_writes_nothing(tmp_path: Path, url: str) -> None:
    answer = run("init", str(tmp_path), "--hub-url", url)
    assert "https://hub.example.org" in str(answer.exception)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.proves("R3")
@pytest.mark.parametrize("exists", [False, True])
def test_a_password_in_the_address_of_the_database_is_for_this_account_only(tmp_path: Path, exists: bool) -> None:
    url, file = "postgresql://aizen:a: #b@db.example.org/aizen", tmp_path / "aizen.yaml"
    if exists:
        file.touch(0o644)
    answer = run("init", str(tmp_path), "--replica", "--database", url, "--force")
    assert answer.return_value == ExitCode.DONE, answer.output
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert Settings.load(file, {}).database == url
