"""What the guide adds to the overlay of the service, one part after the other."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from aizen_hub.settings import Settings
from tests.deploy.kubernetes.operator_files import FOLDER, OperatorFiles
from tests.deploy.kubernetes.overlay import render_overlay
from tests.deploy.kubernetes.test_overlay import PASSWORDS, by_name
from tests.deploy.test_kubernetes import GUIDE
from tests.fixtures.engines.kubelet import GATEWAY

OVERLAY = "grants: []\n"


def parts() -> list[dict[str, Any]]:
    text = GUIDE.partition("## 8. Extend the overlay\n")[2].partition("\n## ")[0]
    return [yaml.safe_load(block.partition("```")[0]) for block in text.split("```yaml\n")[1:]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The overlay of the guide with all its parts."""
    files = OperatorFiles(tmp_path, GATEWAY, 5432, PASSWORDS)
    files.write()
    shutil.copytree(FOLDER.with_name("pod-identity"), tmp_path / "pod-identity")
    overlay = tmp_path / "overlay"
    (overlay / "overlay.yaml").write_text(OVERLAY)
    file = overlay / "kustomization.yaml"
    kustomization = yaml.safe_load(file.read_text())
    kustomization |= {"components": ["../pod-identity"], "patches": []}
    for part in parts():
        kustomization["patches"] += part.pop("patches", [])
        kustomization |= part
    file.write_text(yaml.safe_dump(kustomization))
    return overlay


def test_files_of_the_configuration_are_where_the_settings_name_them(tmp_path: Path, folder: Path) -> None:
    file = folder / "kustomization.yaml"
    kustomization = yaml.safe_load(file.read_text())
    of_files = {key: kustomization[key] for key in ("images", "configMapGenerator")}
    file.write_text(yaml.safe_dump({**of_files, "resources": ["../service"]}))
    objects = by_name(render_overlay(folder))
    assert objects["ConfigMap", "aizen-hub"]["data"]["overlay.yaml"] == OVERLAY
    job = yaml.safe_load((FOLDER / "migration" / "job.yaml").read_text())
    (volume,) = (mount["mountPath"] for mount in mounts_of(job) if mount["name"] == "config" and "subPath" not in mount)
    mounted = tmp_path / "aizen.yaml"
    mounted.write_text(objects["ConfigMap", "aizen-hub"]["data"]["aizen.yaml"] + "overlays: [files/overlay.yaml]\n")
    (named,) = Settings.load(mounted).overlays
    assert str(named.relative_to(tmp_path)) == str(Path(volume, "overlay.yaml").relative_to("/etc/aizen"))
    deployment = objects["Deployment", "aizen-hub"]
    assert [mount for mount in mounts_of(job) if mount["name"] == "config"] == [
        mount for mount in mounts_of(deployment) if mount["name"] == "config"
    ], "a migration reads the same catalog"


def mounts_of(manifest: dict[str, Any]) -> list[dict[str, Any]]:
    (container,) = manifest["spec"]["template"]["spec"]["containers"]
    mounts: list[dict[str, Any]] = container["volumeMounts"]
    return mounts


def test_the_migration_has_the_account_with_the_pull_secrets() -> None:
    job = yaml.safe_load((FOLDER / "migration" / "job.yaml").read_text())
    (patch,) = (one["patch"] for part in parts() for one in part.get("patches", []) if "target" not in one)
    assert yaml.safe_load(patch)["metadata"]["name"] == job["spec"]["template"]["spec"]["serviceAccountName"]


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="no kubectl on the search path")
def test_kubectl_renders_all_parts(folder: Path) -> None:
    done = subprocess.run(
        ["kubectl", "kustomize", str(folder)], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    objects = by_name(list(yaml.safe_load_all(done.stdout)))
    assert objects["ServiceAccount", "aizen-hub"]["imagePullSecrets"] == [{"name": "registry"}]
    assert ("PodMonitor", "aizen-hub") in objects
    rule = objects["NetworkPolicy", "aizen-hub"]["spec"]["ingress"][1]
    assert rule["from"] == [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "observability"}}}]
    name = "aizen-hub-pod-identity-research"
    binding = objects["ClusterRoleBinding", name]
    assert ("ClusterRole", name) in objects
    assert binding["roleRef"]["name"] == name
    assert [subject["namespace"] for subject in binding["subjects"]] == ["jupyter-research"]


def test_the_rules_for_the_prometheus_operator_are_a_manifest(tmp_path: Path) -> None:
    file = tmp_path / "rules.yaml"
    for line in GUIDE.splitlines():
        if line.endswith("> rules.yaml"):
            subprocess.run(["sh", "-c", line.replace("rules.yaml", str(file))], check=True, timeout=60)
    manifest = yaml.safe_load(file.read_text())
    rules = yaml.safe_load((FOLDER.parents[1] / "grafana" / "alerts.yaml").read_text())
    assert (manifest["kind"], manifest["spec"]) == ("PrometheusRule", rules)
