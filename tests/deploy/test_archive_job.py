"""The job that archives the audit on Kubernetes: isolated as the migration, with the files that its command reads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import yaml

from aizen_hub.cli.commands.audit import archive
from aizen_hub.settings import Settings

DEPLOY = Path(__file__).parents[2] / "deploy" / "kubernetes"
FOLDER = DEPLOY / "audit-archive"
GUIDE = (DEPLOY.parents[1] / "docs" / "how-to" / "archive-audit.md").read_text(encoding="utf-8")


def load(path: Path) -> dict[str, Any]:
    return dict(yaml.safe_load(path.read_text(encoding="utf-8")))


def pod() -> dict[str, Any]:
    return dict(load(FOLDER / "cronjob.yaml")["spec"]["jobTemplate"]["spec"]["template"]["spec"])


def test_the_component_names_the_job_and_the_guide_the_component() -> None:
    component = load(FOLDER / "kustomization.yaml")
    assert component["kind"] == "Component"
    assert {path.name for path in FOLDER.iterdir()} == {*component["resources"], "kustomization.yaml"}
    overlay, patch = (block for block in GUIDE.split("```yaml\n")[1:])
    assert yaml.safe_load(overlay.partition("```")[0])["components"] == [f"../{FOLDER.name}"]
    (change,) = yaml.safe_load(patch.partition("```")[0])["patches"]
    (operation,) = yaml.safe_load(change["patch"])
    value: Any = load(FOLDER / "cronjob.yaml")
    for part in operation["path"].strip("/").split("/"):
        value = value[int(part)] if isinstance(value, list) else value[part]
    assert value.startswith("s3://")
    assert change["target"] == {"kind": "CronJob", "name": load(FOLDER / "cronjob.yaml")["metadata"]["name"]}


def test_it_is_isolated_as_the_migration() -> None:
    migration = load(DEPLOY / "service" / "migration" / "job.yaml")["spec"]["template"]["spec"]
    archiving = pod()
    for key in ("securityContext", "automountServiceAccountToken", "enableServiceLinks", "restartPolicy"):
        assert archiving[key] == migration[key]
    (container,), (of_migration,) = archiving["containers"], migration["containers"]
    assert container["securityContext"] == of_migration["securityContext"]
    assert container["env"] == of_migration["env"], "as the owner of the tables"
    mounted = [mount["name"] for mount in container["volumeMounts"]]
    assert mounted == [volume["name"] for volume in archiving["volumes"]]


def test_its_command_exists_and_finds_the_files_of_the_settings() -> None:
    (container,) = pod()["containers"]
    program, *command = container["args"]
    assert (program, command[:2]) == ("aizen-hub", ["audit", "archive"])
    context: click.Context = archive.make_context("archive", command[2:], resilient_parsing=True)
    assert str(context.params["config"]) == "/etc/aizen/aizen.yaml"
    assert context.params["before"] is not None
    assert context.params["destination"].startswith("s3://")
    settings = Settings.model_validate(load(DEPLOY / "service" / "aizen.yaml"))
    files = (settings.key_encryption_path, settings.database_password_file, settings.checkpoint_database_password_file)
    (secret,) = (volume["secret"] for volume in pod()["volumes"] if volume["name"] == "secrets")
    mounts = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
    assert {mounts[str(file.parent)] for file in files if file is not None} == {"secrets"}
    assert [item["path"] for item in secret["items"]] == [file.name for file in files if file is not None]
    assert "readOnly" not in next(mount for mount in container["volumeMounts"] if mount["mountPath"] == "/tmp")
