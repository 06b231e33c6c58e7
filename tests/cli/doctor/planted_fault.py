"""A fault of the table `planted_faults.yaml`, planted into a copy of an installation, and removed again."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
from collections.abc import Callable, Mapping
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from aizen_hub.cli.exit_codes import ExitCode
from aizen_hub.cli.main import cli
from aizen_hub.store.timestamps import to_microseconds
from tests.cli.doctor.installed import SETTINGS, write_hub_config, write_settings

Patch = Callable[[Path, pytest.MonkeyPatch], None]


def merge(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return nested settings with changes."""
    merged = dict(base)
    for key, value in changes.items():
        both = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
        merged[key] = merge(merged[key], value) if both else value
    return merged


class FaultPlanter:
    """Changes an installation as a row of the table says.

    Parameters
    ----------
    folder : Path
        The installation.
    values : mapping
        What the placeholders ``<name>`` in the texts of a row mean.
    patches : mapping
        What the names under ``patch`` do.

    Attributes
    ----------
    directory : Directory or None
        The server of the provider `lab`.
    """

    def __init__(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch, values: Mapping[str, Any], patches: Mapping[str, Patch]
    ) -> None:
        now = datetime.now(UTC)
        self.directory: Any = None
        self._folder, self._monkeypatch, self._patches = folder, monkeypatch, patches
        self._values = {
            "folder": str(folder),
            "now": str(to_microseconds(now)),
            "past": str(to_microseconds(now - timedelta(days=100))),
            "soon": str(to_microseconds(now + timedelta(days=3))),
            **values,
        }

    def fill(self, value: Any) -> Any:
        """Replace the placeholders in a value at any depth; one that is a whole text may stand for any value."""
        if isinstance(value, Mapping):
            return {key: self.fill(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self.fill(item) for item in value]
        if not isinstance(value, str):
            return value
        if value.startswith("<") and value.endswith(">") and value[1:-1] in self._values:
            return self._values[value[1:-1]]
        for name, text in self._values.items():
            value = value.replace(f"<{name}>", str(text))
        return value

    def plant(self, row: Mapping[str, Any]) -> None:
        row = self.fill(row)
        if "ldap" in row:
            row["settings"] = {"providers": self._list_providers(row["ldap"])}
        if "settings" in row:
            write_settings(self._folder, **merge(SETTINGS, row["settings"]))
        if "hub" in row or "hub_after" in row:
            write_hub_config(self._folder, row.get("hub", ""), row.get("hub_after", ""))
        for name, changes in row.get("files", {}).items():
            self._change_file(self._folder / name, changes)
        for statement in row.get("sql", ()):
            with closing(sqlite3.connect(self._folder / "data" / "aizen.sqlite", isolation_level=None)) as conn:
                conn.execute(statement)
        for name, text in row.get("variables", {}).items():
            self._monkeypatch.setenv(name, text)
        for arguments in row.get("run", ()):
            config = ["-c", str(self._folder / "aizen.yaml")]
            answer = CliRunner().invoke(cli, [*arguments.split(), *config], standalone_mode=False)
            assert answer.exception is None, answer.exception
            assert answer.return_value == ExitCode.DONE, answer.output
        if "patch" in row:
            self._patches[row["patch"]](self._folder, self._monkeypatch)

    def follow(self, remedy: str) -> None:
        """Run a remedy that is a command."""
        subprocess.run(["sh", "-c", remedy], cwd=self._folder, check=True, capture_output=True, timeout=60)

    def _list_providers(self, changes: Mapping[str, Any]) -> list[dict[str, Any]]:
        settings = self.directory.settings(**changes)
        config = json.loads(json.dumps({key: value for key, value in settings.items() if value is not None}))
        return [
            {"name": "local", "kind": "local"},
            {"name": "lab", "kind": "ldap", "deadline_seconds": 30, "config": config},
        ]

    def _change_file(self, path: Path, changes: Mapping[str, Any]) -> None:
        if changes.get("remove"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        if changes.get("folder"):
            path.mkdir(mode=0o700, parents=True)
        if "text" in changes:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            path.write_text(changes["text"])
            path.chmod(0o600)
        if "replace" in changes:
            old, new = changes["replace"]
            assert old in path.read_text(), "what is replaced is there"
            path.write_text(path.read_text().replace(old, new))
        if "damage_at" in changes:
            content = bytearray(path.read_bytes())
            content[changes["damage_at"] : changes["damage_at"] + 2048] = b"\xff" * 2048
            path.write_bytes(content)
        if "link_to" in changes:
            os.symlink(changes["link_to"], path)
        if "mode" in changes:
            path.chmod(int(str(changes["mode"]), 8))


def describe(findings: list[dict[str, str]]) -> str:
    """Return findings that are not ``ok``, for the message of a failed test."""
    return json.dumps([finding for finding in findings if finding["level"] != "ok"], indent=2)
