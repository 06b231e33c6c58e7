"""``deploy/kubernetes`` and its guide: hub and service agree, and the values fit what the chart does by itself."""

from __future__ import annotations

import copy
import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from aizen_hub.hub.spawn.project_namespace import check_template, namespace_of
from tests.engines.kubernetes_hub import PROJECT_FOLDER as PROJECT
from tests.engines.kubernetes_hub import project_manifests
from tests.fixtures.kubernetes import HUB_RULES

FOLDER = Path(__file__).parents[2] / "deploy" / "kubernetes"
GUIDE = (FOLDER.parents[1] / "docs" / "how-to" / "kubernetes.md").read_text(encoding="utf-8")
CHART = os.environ.get("AIZEN_CHART")
"""Folder with `values.yaml` and `values.schema.json` of the Zero-to-JupyterHub chart."""


SECRETS = ("hub_secret_file", "key_encryption_file", "database_password_file", "checkpoint_database_password_file")


def blocks() -> list[dict[str, Any]]:
    """Return the YAML of the guide: of the service, an overlay, values for projects, an overlay of one."""
    return [dict(yaml.safe_load(block)) for block in re.findall(r"```yaml\n(.*?)```", GUIDE, re.DOTALL)]


@pytest.fixture
def values() -> dict[str, Any]:
    return dict(yaml.safe_load((FOLDER / "values.yaml").read_text(encoding="utf-8")))


@pytest.fixture
def settings() -> dict[str, Any]:
    return blocks()[0]


def test_hub_and_service_have_the_same_addresses(values: dict[str, Any], settings: dict[str, Any]) -> None:
    of_hub = values["hub"]["extraFiles"]["aizen.yaml"]["data"]
    for key in ("admin_user", "database", "spawn"):
        assert of_hub[key] == settings[key]
    assert of_hub["service"]["url"] == settings["service"]["url"] == values["hub"]["services"]["aizen"]["url"]
    assert values["hub"]["config"]["JupyterHub"]["subdomain_host"] == settings["hub"]["url"]


def test_the_guide_creates_and_mounts_every_secret(settings: dict[str, Any]) -> None:
    created = set(re.findall(r"--from-file=(?:\S*/)?([\w-]+)(?=\s)", GUIDE))
    files = [Path(settings[key]) for key in SECRETS]
    assert {path.name for path in files} == created
    for path in (*files, Path(settings["hub"]["api_token_file"])):
        assert f"| `{path.parent}` |" in GUIDE


def test_user_servers_reach_the_service_and_the_proxy_knows_hosts(values: dict[str, Any]) -> None:
    """The chart's policies keep servers from private addresses, and its proxy does not ask the hub for its flags."""
    (rule,) = values["singleuser"]["networkPolicy"]["egress"]
    ((name, value),) = rule["to"][0]["podSelector"]["matchLabels"].items()
    assert f"`{name}: {value}`" in GUIDE
    assert [port["port"] for port in rule["ports"]] == [9095]
    assert values["proxy"]["chp"]["extraCommandLineFlags"] == ["--host-routing"]


def test_namespaces_of_projects_are_opened_to_hub_and_service_by_their_label() -> None:
    _, _, values, overlay = blocks()
    assert overlay["resources"] == [f"../{PROJECT.name}"]
    namespace, role, binding, network = project_manifests()
    check_template(values["hub"]["config"]["AizenKubeSpawner"]["project_namespace_template"])
    assert namespace["metadata"]["name"] == namespace_of("aizen-{project}", "churn")
    (to_hub,) = values["hub"]["networkPolicy"]["ingress"]
    to_service = yaml.safe_load((FOLDER / "service" / "network.yaml").read_text())["spec"]["ingress"][0]
    for source in (to_hub["from"][0], to_service["from"][-1]):
        ((label, value),) = source["namespaceSelector"]["matchLabels"].items()
        assert namespace["metadata"]["labels"][label] == value
        assert source["podSelector"] == {"matchLabels": {"component": "singleuser-server"}}
    assert role["rules"] == list(HUB_RULES), "what the chart gives the hub, and nothing on the cluster"
    assert binding["roleRef"]["name"] == role["metadata"]["name"]
    ports = {port["port"] for rule in network["spec"]["egress"] for port in rule.get("ports", [])}
    assert ports == {8081, 9095, 53}
    assert network["spec"]["podSelector"] == {}, "every pod of the namespace"
    named = yaml.safe_load((PROJECT / "kustomization.yaml").read_text())
    assert {path.name for path in PROJECT.glob("*.yaml")} == {*named["resources"], "kustomization.yaml"}


@pytest.mark.skipif(CHART is None, reason="AIZEN_CHART does not name the folder of the chart")
def test_the_values_fit_the_schema_of_the_chart(values: dict[str, Any]) -> None:
    import jsonschema

    schema = json.loads((Path(str(CHART)) / "values.schema.json").read_text(encoding="utf-8"))
    defaults = yaml.safe_load((Path(str(CHART)) / "values.yaml").read_text(encoding="utf-8"))

    def merge(base: dict[str, Any], more: dict[str, Any]) -> dict[str, Any]:
        merged = copy.deepcopy(base)
        for key, value in more.items():
            both = isinstance(value, dict) and isinstance(merged.get(key), dict)
            merged[key] = merge(merged[key], value) if both else value
        return merged

    for complete in (merge(defaults, values), merge(merge(defaults, values), blocks()[2])):
        errors = jsonschema.validators.validator_for(schema)(schema).iter_errors(complete)
        assert [f"{list(error.path)}: {error.message}" for error in errors] == []
