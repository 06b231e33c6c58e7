"""Overlays of the service as the guide has them, rendered by the tests and by the real ``kubectl``."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.kubernetes.operator_files import FOLDER, OperatorFiles
from tests.deploy.kubernetes.overlay import render_overlay
from tests.fixtures.engines.kubelet import GATEWAY
from tests.fixtures.engines.server_image import IMAGE

PASSWORDS = {"aizen": "one", "aizen_owner": "two", "aizen_checkpoints": "three"}


@pytest.fixture
def files(tmp_path: Path) -> OperatorFiles:
    files = OperatorFiles(tmp_path, GATEWAY, 5432, PASSWORDS)
    files.write()
    return files


def by_name(objects: list[dict[str, Any]]) -> dict[tuple[str, str], dict[str, Any]]:
    return {(value["kind"], value["metadata"]["name"]): value for value in objects}


def test_an_overlay_replaces_image_and_configuration(files: OperatorFiles) -> None:
    objects = by_name(render_overlay(files.folder / "overlay"))
    (container,) = objects["Deployment", "aizen-hub"]["spec"]["template"]["spec"]["containers"]
    assert container["image"] == IMAGE
    settings = yaml.safe_load(objects["ConfigMap", "aizen-hub"]["data"]["aizen.yaml"])
    assert settings["database"] == f"postgresql+psycopg://aizen@{GATEWAY}:5432/aizen"
    assert settings["hub"]["api_url"] == f"http://{GATEWAY}:8081/hub/api"


def test_an_unknown_key_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "kustomization.yaml").write_text("resources: []\npatches: []\n")
    with pytest.raises(ValueError, match="patches"):
        render_overlay(tmp_path)


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="no kubectl on the search path")
@pytest.mark.parametrize("name", ["base", "overlay"])
def test_kubectl_renders_the_same(files: OperatorFiles, name: str) -> None:
    folder = FOLDER if name == "base" else files.folder / "overlay"
    done = subprocess.run(
        ["kubectl", "kustomize", str(folder)], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert by_name(list(yaml.safe_load_all(done.stdout))) == by_name(render_overlay(folder))
