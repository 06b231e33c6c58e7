"""A complete installation without faults, made once and copied for each test, and a run of the doctor on it."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from sqlalchemy import update

from aizen_hub.accounts.users import bootstrap
from aizen_hub.audit.checkpoints.checkpoint_file import CheckpointFile
from aizen_hub.audit.checkpoints.heads import chain_heads
from aizen_hub.audit.checkpoints.signing import checkpoint_signer
from aizen_hub.cli.doctor import certificates
from aizen_hub.cli.local_store import open_store, open_store_with_keys, operator_actor
from aizen_hub.cli.main import cli
from aizen_hub.secret_files import read_or_create_secret
from aizen_hub.settings import Settings
from aizen_hub.store import tables

Findings = list[dict[str, str]]

SETTINGS: dict[str, Any] = {
    "data_dir": "data",
    "checkpoint_file": "checkpoints/checkpoints.jsonl",
    # Port 1 is privileged and unused: nothing answers there, so that no other program can be mistaken for the service.
    "service": {"port": 1},
    "insecure_same_uid": True,
}
HUB_CONFIG = """\
from aizen_hub.hub.configure import configure

c.JupyterHub.spawner_class = "simple"
c.JupyterHub.subdomain_host = "https://hub.example.org"
{before}
configure(c, "aizen.yaml")
{after}
"""


VARIABLES = (
    "JPY_COOKIE_SECRET",
    "CONFIGPROXY_AUTH_TOKEN",
    "JUPYTERHUB_CRYPT_KEY",
    "AIZEN_HUB_URL",
    "AIZEN_HUB_TOKEN",
    "JUPYTERHUB_API_URL",
)


def clear_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove what the doctor reads of this machine: variables, and the way to the hub's public address."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(certificates, "read_end", _refuse)


def _refuse(_host: str, _port: int) -> datetime:
    raise OSError("no way to the internet")


def write_settings(folder: Path, **changes: Any) -> Settings:
    """Write ``aizen.yaml`` with these changes, and return its settings without overrides."""
    path = folder / "aizen.yaml"
    path.write_text(yaml.safe_dump({**SETTINGS, **changes}))
    path.chmod(0o600)
    return Settings.load(path, {})


def write_hub_config(folder: Path, before: str = "", after: str = "") -> None:
    path = folder / "jupyterhub_config.py"
    path.write_text(HUB_CONFIG.format(before=before, after=after))
    path.chmod(0o600)


def install(folder: Path) -> None:
    """Make an installation as after the first start: database, keys, signed checkpoint, and an active admin."""
    folder.chmod(0o700)
    settings = write_settings(folder)
    write_hub_config(folder)
    settings.data_dir.mkdir(mode=0o700)
    settings.checkpoint_path.parent.mkdir(mode=0o700)
    read_or_create_secret(settings.hub_secret_path)
    with open_store(settings, create=True) as store, store.write(operator_actor()) as tx:
        bootstrap.bootstrap_installation(tx, settings)
        tx.conn.execute(update(tables.users).values(active=True))
    add_checkpoint(settings)


def add_checkpoint(settings: Settings) -> None:
    """Sign the present state of the database."""
    with open_store_with_keys(settings) as (store, keys), store.read() as tx:
        CheckpointFile(settings.checkpoint_path).append(
            chain_heads(tx.conn), tx.revision, tx.now, checkpoint_signer(keys.ring(tx))
        )


def change_state(settings: Settings) -> None:
    """Make one recorded change, as a running service does."""
    with open_store(settings) as store, store.write(operator_actor()) as tx:
        tx.record_change("test", {"at": str(tx.now + timedelta(0))}, [])
        tx.audit("test.changed")


def run_doctor(folder: Path, *options: str) -> tuple[int, Findings]:
    """Return exit code and findings; an error of the program itself fails the test."""
    arguments = ["doctor", "-c", str(folder / "aizen.yaml"), "-o", "json", *options]
    answer = CliRunner().invoke(cli, arguments, standalone_mode=False)
    assert answer.exception is None, answer.exception
    assert "Traceback" not in answer.output
    return answer.return_value, json.loads(answer.stdout)
