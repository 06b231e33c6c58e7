"""``deploy/kubernetes`` and its guide: hub and service agree, and the values fit what the chart does by itself."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import yaml

from aizen_hub.hub.spawn.project_namespace import check_template, namespace_of
from aizen_hub.settings import Settings
from tests.deploy.kubernetes.chart_hub import CHART_FILES, chart_defaults, merge_values
from tests.engines.kubernetes_hub import POD_IDENTITY_FOLDER, project_manifests
from tests.engines.kubernetes_hub import PROJECT_FOLDER as PROJECT
from tests.fixtures.engines.kubernetes import HUB_RULES

FOLDER = Path(__file__).parents[2] / "deploy" / "kubernetes"
GUIDE = (FOLDER.parents[1] / "docs" / "how-to" / "kubernetes.md").read_text(encoding="utf-8")
SECRETS = ("hub_secret_file", "key_encryption_file", "database_password_file", "checkpoint_database_password_file")


def blocks() -> list[dict[str, Any]]:
    """Return the YAML of the guide: of the service, an overlay, values for projects, that of one; pod identity."""
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


def test_the_guide_has_the_configuration_of_the_base(settings: dict[str, Any]) -> None:
    """Who replaces that of the base by that of the guide loses nothing, such as the time to drain."""
    assert settings == yaml.safe_load((FOLDER / "service" / "aizen.yaml").read_text())


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


def granted(rules: Iterable[dict[str, Any]]) -> set[tuple[str, str]]:
    assert all(set(rule) == {"apiGroups", "resources", "verbs"} and rule["apiGroups"] == [""] for rule in rules)
    return {(resource, verb) for rule in rules for resource in rule["resources"] for verb in rule["verbs"]}


def test_namespaces_of_projects_are_opened_to_hub_and_service_by_their_label() -> None:
    _, _, values, overlay, *_ = blocks()
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
    rights, of_the_chart = granted(role["rules"]), granted(HUB_RULES)
    assert rights < of_the_chart, "what the chart gives the hub, and nothing on the cluster"
    assert of_the_chart - rights == {("secrets", verb) for verb in ("get", "watch", "list", "delete")}
    assert binding["roleRef"]["name"] == role["metadata"]["name"]
    ports = {port["port"] for rule in network["spec"]["egress"] for port in rule.get("ports", [])}
    assert ports == {8081, 9095, 53, 5353}
    assert network["spec"]["podSelector"] == {}, "every pod of the namespace"
    named = yaml.safe_load((PROJECT / "kustomization.yaml").read_text())
    assert {path.name for path in PROJECT.glob("*.yaml")} == {*named["resources"], "kustomization.yaml"}


def deployment_with_pod_identity() -> dict[str, Any]:
    """Return the deployment of the service with the patch of the component, as kustomize merges the two."""
    deployment, patch = (
        yaml.safe_load((folder / "deployment.yaml").read_text()) for folder in (FOLDER / "service", POD_IDENTITY_FOLDER)
    )
    pod, more = (value["spec"]["template"]["spec"] for value in (deployment, patch))
    assert more.keys() == {"containers", "volumes"}, "merged here as nothing else"
    ((container,), (changed,)) = pod["containers"], more["containers"]
    assert changed.keys() == {"name", "volumeMounts"}
    assert (changed["name"], patch["metadata"]) == (container["name"], deployment["metadata"])
    container["volumeMounts"] += changed["volumeMounts"]
    pod["volumes"] += more["volumes"]
    return dict(deployment)


def test_pod_identity_gives_the_service_one_right_and_the_token_where_its_settings_expect_it() -> None:
    settings = next(block for block in blocks() if "pod_identity" in block)
    overlay = next(block for block in blocks() if "components" in block)
    identity = Settings.model_validate(settings).pod_identity
    assert identity is not None
    assert overlay == {"components": [f"../{POD_IDENTITY_FOLDER.name}"]}
    component = yaml.safe_load((POD_IDENTITY_FOLDER / "kustomization.yaml").read_text())
    named = {*component["resources"], *(patch["path"] for patch in component["patches"])}
    assert {path.name for path in POD_IDENTITY_FOLDER.glob("*.yaml")} == {*named, "kustomization.yaml"}
    role, binding = (yaml.safe_load((POD_IDENTITY_FOLDER / f"{name}.yaml").read_text()) for name in ("role", "binding"))
    assert role["rules"] == [
        {"apiGroups": ["authentication.k8s.io"], "resources": ["tokenreviews"], "verbs": ["create"]}
    ]
    assert binding["roleRef"]["name"] == role["metadata"]["name"]
    pod = deployment_with_pod_identity()["spec"]["template"]["spec"]
    (subject,) = binding["subjects"]
    assert subject["name"] == pod["serviceAccountName"]
    (container,) = pod["containers"]
    mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    assert mounts.keys() == {volume["name"] for volume in pod["volumes"]}
    assert len(set(mounts.values())) == len(mounts)
    (sources,) = (volume["projected"]["sources"] for volume in pod["volumes"] if "projected" in volume)
    token, authority = sources[0]["serviceAccountToken"]["path"], sources[1]["configMap"]["items"][0]["path"]
    assert str(identity.token_file) == f"{mounts['api-server']}/{token}"
    assert str(identity.ca_file) == f"{mounts['api-server']}/{authority}"


def test_the_values_fit_the_schema_of_the_chart(values: dict[str, Any]) -> None:
    import jsonschema

    schema = json.loads((CHART_FILES / "values.schema.json").read_text(encoding="utf-8"))
    ours = merge_values(chart_defaults(), values)
    for complete in (ours, merge_values(ours, blocks()[2])):
        errors = jsonschema.validators.validator_for(schema)(schema).iter_errors(complete)
        assert [f"{list(error.path)}: {error.message}" for error in errors] == []
