"""The recipes for engines are complete configurations of a hub, without a warning about the tokens or limits."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from jupyterhub.app import JupyterHub
from traitlets.config import Config

from aizen_hub.hub import config_guard
from aizen_hub.hub.login.authenticator import AizenAuthenticator
from aizen_hub.service.api import health
from aizen_hub.settings import Settings

DEPLOY = Path(__file__).parents[2] / "deploy"
VARIABLES = {"HUB_URL": "https://hub.example.org", "SERVER_IMAGE": "aizen-server", "SERVER_NETWORK": "aizen-servers"}


@pytest.fixture(params=["slurm", "docker-compose"])
def recipe(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[JupyterHub]:
    """A hub with the files of one recipe, before it opens its database."""
    folder = DEPLOY / request.param
    settings = yaml.safe_load((folder / "aizen.yaml").read_text()) | {"data_dir": str(tmp_path / "data")}
    (tmp_path / "aizen.yaml").write_text(yaml.safe_dump(settings))
    text = (folder / "jupyterhub_config.py").read_text()
    text = text.replace("/srv/config/", f"{tmp_path}/").replace("/srv/aizen", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    for name, value in VARIABLES.items():
        monkeypatch.setenv(name, value)
    JupyterHub.clear_instance()
    config = Config()
    exec(compile(text, str(folder), "exec"), {"get_config": lambda: config})
    app = JupyterHub(config=config)
    app.authenticator = AizenAuthenticator(parent=app)
    yield app
    JupyterHub.clear_instance()


@pytest.mark.proves("R1")
def test_a_recipe_has_no_fault_that_the_guard_knows(recipe: Any) -> None:
    found = list(config_guard.find_violations(recipe, recipe.authenticator.aizen_settings))
    assert found == []


def test_every_setting_of_a_recipe_exists(recipe: Any) -> None:
    """A misspelt trait has no effect, and no error either."""
    classes = {recipe.spawner_class, *recipe.spawner_class.mro(), JupyterHub}
    traits = {cls.__name__: set(cls.class_trait_names()) for cls in classes if hasattr(cls, "class_trait_names")}
    for section, values in recipe.config.items():
        if section in traits:
            assert set(values) <= traits[section], section


def test_the_hub_of_the_chart_mounts_its_secret_only() -> None:
    (volume,) = yaml.safe_load((DEPLOY / "kubernetes" / "values.yaml").read_text())["hub"]["extraVolumes"]
    assert volume["secret"]["defaultMode"] == 0o440, "files that others may read are refused"
    assert [item["key"] for item in volume["secret"]["items"]] == ["hub-secret"], "no key of the service"


def test_the_hub_of_the_composition_is_not_root_and_servers_do_not_reach_the_daemon() -> None:
    composition = yaml.safe_load((DEPLOY / "docker-compose" / "compose.yaml").read_text())
    services = composition["services"]
    with_socket = {name for name, service in services.items() if "docker.sock" in str(service.get("volumes"))}
    assert with_socket == {"docker-proxy"}
    assert services["docker-proxy"]["networks"] == ["control"]
    assert composition["networks"]["control"] == {"internal": True}
    lines = (DEPLOY / "docker-compose" / "Dockerfile").read_text().splitlines()
    assert "USER aizen" in lines


WHOLE_VERSION = re.compile(r"v?\d+\.\d+\.\d+(-[a-z]+)*(@sha256:[0-9a-f]{64})?|sha256:[0-9a-f]{64}")


def find_floating(text: str) -> list[str]:
    """Return the images of a Dockerfile or a composition, or packages of pip, that have no whole version."""
    images = re.findall(r"^ARG BASE=(\S+)|^FROM (?!\$)(\S+)|^ +(?:image|SERVER_IMAGE): (\S+)", text, re.MULTILINE)
    names = ["".join(groups) for groups in images] + re.findall(r"^ARG AIZEN_HUB=(\S+)", text, re.MULTILINE)
    assert names
    return [name for name in names if not WHOLE_VERSION.fullmatch(re.split(r"==|:|@", name, maxsplit=1)[-1])]


def test_the_composition_names_every_image_by_its_whole_version() -> None:
    folder = DEPLOY / "docker-compose"
    services = yaml.safe_load((folder / "compose.yaml").read_text())["services"]
    builds = [service["build"] for service in services.values() if "build" in service]
    files = [
        folder
        / (build if isinstance(build, str) else build["context"])
        / ("Dockerfile" if isinstance(build, str) else build["dockerfile"])
        for build in builds
    ]
    assert len(files) == 2
    for file in [*files, folder / "compose.yaml"]:
        assert find_floating(file.read_text(encoding="utf-8")) == [], file
    assert services["server"]["image"] == services["hub"]["environment"]["SERVER_IMAGE"]


@pytest.mark.parametrize(
    "line",
    ["FROM python", "FROM python:3.13-slim", "    image: a/b:latest", "ARG BASE=a:5000/b", "ARG AIZEN_HUB=aizen-hub"],
)
def test_a_floating_image_is_found(line: str) -> None:
    assert len(find_floating(line)) == 1


def service_manifests() -> list[dict[str, Any]]:
    """Return the objects of the service's deployment, without the files of kustomize."""
    folder = DEPLOY / "kubernetes" / "service"
    names = {"aizen.yaml", "kustomization.yaml"}
    return [yaml.safe_load(file.read_text()) for file in sorted(folder.rglob("*.yaml")) if file.name not in names]


def test_kustomize_names_every_manifest_of_the_service() -> None:
    folder = DEPLOY / "kubernetes" / "service"
    for file in folder.rglob("kustomization.yaml"):
        named = set(yaml.safe_load(file.read_text())["resources"])
        assert named == {path.name for path in file.parent.glob("*.yaml")} - {"kustomization.yaml", "aizen.yaml"}


@pytest.mark.proves("R35")
def test_pods_of_the_service_are_not_root_and_cannot_change_their_image() -> None:
    templates = [
        manifest["spec"]["template"]["spec"]
        for manifest in service_manifests()
        if "template" in manifest.get("spec", {})
    ]
    assert len(templates) == 2
    for template in templates:
        assert template["securityContext"]["runAsNonRoot"] is True
        assert template["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert template["automountServiceAccountToken"] is False
        (container,) = template["containers"]
        context = container["securityContext"]
        assert context["readOnlyRootFilesystem"] is True
        assert context["allowPrivilegeEscalation"] is False
        assert context["capabilities"] == {"drop": ["ALL"]}
        mounted = {mount["name"] for mount in container["volumeMounts"]}
        assert mounted == {volume["name"] for volume in template["volumes"]}


def test_every_file_of_the_services_configuration_is_mounted() -> None:
    folder = DEPLOY / "kubernetes" / "service"
    settings = Settings.model_validate(yaml.safe_load((folder / "aizen.yaml").read_text()))
    (deployment,) = (manifest for manifest in service_manifests() if manifest["kind"] == "Deployment")
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    mounts = {mount["mountPath"]: mount for mount in container["volumeMounts"]}
    secret_files = [settings.hub_secret_path, settings.key_encryption_path, settings.database_password_file]
    secret_files.append(settings.checkpoint_database_password_file)
    for file in secret_files:
        assert file is not None
        assert mounts[str(file.parent)]["readOnly"] is True
    assert "readOnly" not in mounts[str(settings.data_dir)]
    assert settings.checkpoint_database is not None
    assert not [manifest for manifest in service_manifests() if manifest["kind"] == "PersistentVolumeClaim"]
    volumes = deployment["spec"]["template"]["spec"]["volumes"]
    assert not [volume for volume in volumes if "persistentVolumeClaim" in volume], "no replica needs one"
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert ports == {"http": settings.service.port, "metrics": settings.metrics.port}
    paths = {route.path for route in health.ROUTES}
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        assert container[probe]["httpGet"]["path"] in paths
    strategy = deployment["spec"]["strategy"]["rollingUpdate"]
    assert strategy == {"maxUnavailable": 0, "maxSurge": 1}
