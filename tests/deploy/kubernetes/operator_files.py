"""The files that an operator writes by docs/how-to/kubernetes.md, for a cluster and a database of the tests."""

from __future__ import annotations

import re
import secrets
import shlex
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.fixtures.engines.server_image import IMAGE
from tests.fixtures.guide import Guide

FOLDER = Path(__file__).parents[3] / "deploy" / "kubernetes" / "service"
GUIDE = Path("docs/how-to/kubernetes.md")


@dataclass(frozen=True)
class OperatorFiles:
    """A folder in which the commands of the guide ran; addresses are what its reader has to fill in.

    Attributes
    ----------
    gateway : str
        Where pods reach the database and the hub, which have names there in an installation.
    database_port : int
    passwords : dict
        Of the roles of the database.
    """

    folder: Path
    gateway: str
    database_port: int
    passwords: dict[str, str]

    def write(self) -> None:
        """Write secrets, overlay and configuration."""
        guide = Guide(GUIDE, self.folder)
        guide.run(next(command for command in guide.commands() if command[1] == "init"))
        guide.write_secret("database-password", self.passwords["aizen"])
        guide.write_secret("checkpoint-password", self.passwords["aizen_checkpoints"])
        owner = f"postgresql://aizen_owner:{self.passwords['aizen_owner']}@{self.gateway}:{self.database_port}/aizen"
        guide.write_secret("owner-url", owner)
        shutil.copytree(FOLDER, self.folder / "service")
        settings, overlay = (yaml.safe_load(block) for block in guide.blocks("yaml")[:2])
        (image,) = overlay["images"]
        image["newName"], image["newTag"] = IMAGE.split(":")
        (self.folder / "overlay").mkdir()
        for name, value in (("aizen", self._with_addresses(settings)), ("kustomization", overlay)):
            file = self.folder / "overlay" / f"{name}.yaml"
            file.write_text(yaml.safe_dump(value, sort_keys=False), encoding="utf-8")

    def _with_addresses(self, settings: dict[str, Any]) -> dict[str, Any]:
        hub = settings["hub"] | {"api_url": settings["hub"]["api_url"].replace("//hub:", f"//{self.gateway}:")}
        databases = {
            name: re.sub(r"@[\w.]+/", f"@{self.gateway}:{self.database_port}/", settings[name])
            for name in ("database", "checkpoint_database")
        }
        # A busy machine must not look like an outage.
        service = settings["service"] | {"deadline_seconds": 30}
        return settings | databases | {"hub": hub, "service": service}

    def secrets(self) -> dict[str, dict[str, str]]:
        """Return what each Secret has, by its name: those of the guide, and that of the chart."""
        # Beside the token of the service the chart has what is the hub's only.
        keys = ("hub.services.aizen.apiToken", "hub.config.ConfigurableHTTPProxy.auth_token")
        made = {"hub": {key: secrets.token_hex(32) for key in keys}}
        lines = "\n".join(Guide(GUIDE, self.folder).blocks("sh")).splitlines()
        for words in (shlex.split(line) for line in lines if "create secret generic" in line):
            files = [word.split("=")[1:] for word in words if word.startswith("--from-file=")]
            made[words[words.index("generic") + 1]] = {
                Path(key).name: (self.folder / (path[0] if path else key)).read_text(encoding="ascii")
                for key, *path in files
            }
        return made

    def job(self) -> dict[str, Any]:
        """Return the migration, with the image set in the file."""
        job: dict[str, Any] = yaml.safe_load((self.folder / "service" / "migration" / "job.yaml").read_text())
        (container,) = job["spec"]["template"]["spec"]["containers"]
        container["image"] = IMAGE
        return job
