"""Our values over the Zero-to-JupyterHub chart, as Helm installs them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from tests.deploy.kubernetes.chart import CHART, VALUES, needs_helm, render_chart, run_helm


def _find(objects: list[dict[str, Any]], kind: str, name: str) -> dict[str, Any]:
    (found,) = (value for value in objects if (value["kind"], value["metadata"]["name"]) == (kind, name))
    return found


@needs_helm
def test_helm_finds_nothing_wrong_with_the_values() -> None:
    run_helm("lint", "--strict", str(CHART), "--values", VALUES)


@needs_helm
def test_the_hub_of_the_chart_has_our_files(tmp_path: Path) -> None:
    own = tmp_path / "own.yaml"
    own.write_text("hub: {config: {JupyterHub: {subdomain_host: https://hub.example.com}}}\n", encoding="utf-8")
    objects = render_chart("jupyter", [VALUES, own])
    pod = _find(objects, "Deployment", "hub")["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    values = yaml.safe_load(VALUES.read_text(encoding="utf-8"))
    assert container["image"] == "{name}:{tag}".format(**values["hub"]["image"])
    mounted = {mount["mountPath"] for mount in container["volumeMounts"]}
    assert mounted >= {"/etc/aizen/secrets", "/usr/local/etc/aizen/aizen.yaml"}
    proxy = _find(objects, "Deployment", "proxy")["spec"]["template"]["spec"]["containers"][0]
    assert "--host-routing" in proxy["args"]
    assert "hub.services.aizen.apiToken" in _find(objects, "Secret", "hub")["data"]
