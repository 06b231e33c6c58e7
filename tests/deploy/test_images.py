"""The Dockerfiles: pinned, not root, without secrets; what they copy and start exists. No test builds an image."""

from __future__ import annotations

import importlib.metadata
import json
import re
import shlex
from pathlib import Path

import pytest
import yaml

import aizen_hub

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy" / "docker"
LOCKS = ROOT / "requirements" / "images"
FILES = sorted(FOLDER.glob("*.Dockerfile"))
WHEEL = f"dist/aizen_hub-{aizen_hub.__version__}-py3-none-any.whl"
PIN = re.compile(r"^([\w.-]+)(?:\[[^\]]*\])?==(\S+)", re.MULTILINE)
SECRET_WORDS = re.compile(r"token|secret|passw|key|credential", re.IGNORECASE)


def instructions(file: Path) -> list[tuple[str, str]]:
    """Return the instructions of a Dockerfile with their arguments, each on one line."""
    text = re.sub(r"^#.*\n", "", file.read_text(encoding="utf-8"), flags=re.MULTILINE).replace("\\\n", " ")
    lines = [re.sub(r"\s+", " ", line).strip() for line in text.splitlines()]
    return [(line.partition(" ")[0], line.partition(" ")[2]) for line in lines if line]


def values_of(file: Path, name: str) -> list[str]:
    return [value for found, value in instructions(file) if found == name]


def lock_of(file: Path) -> str:
    """Return the text of the lock file of an image."""
    return (LOCKS / f"{file.stem}.txt").read_text(encoding="utf-8")


def test_there_is_an_image_of_each_part() -> None:
    assert [file.stem for file in FILES] == ["hub", "server", "service"]


@pytest.fixture(params=FILES, ids=lambda file: file.stem)
def file(request: pytest.FixtureRequest) -> Path:
    path: Path = request.param
    return path


def test_the_base_is_pinned_and_the_build_stage_is_left_behind(file: Path) -> None:
    assert values_of(file, "FROM") == ["${BASE} AS build", "${BASE}"]
    (base,) = values_of(file, "ARG")
    assert re.fullmatch(r"BASE=python:3\.13\.\d+-slim-trixie", base), "a version down to its last number"
    last = instructions(file)[instructions(file).index(("FROM", "${BASE}")) :]
    assert not any(name == "RUN" and re.search(r"\b(pip|npm)\b", value) for name, value in last)


def test_every_package_is_installed_by_its_checksum(file: Path) -> None:
    for run in values_of(file, "RUN"):
        for command in run.split(" && "):
            if " install " in command and "/pip " in command:
                assert "--no-cache-dir" in command
                assert "--require-hashes" in command or {"--no-deps", "--no-index"} <= set(command.split())
            assert "npm install" not in command, "`npm ci` installs what the lock file lists"
    pinned = re.findall(r"^([\w.\[\]-]+)==", lock_of(file), re.MULTILINE)
    assert len(pinned) > 40
    assert lock_of(file).count("--hash=sha256:") >= len(pinned)
    proxy = json.loads((FOLDER / "proxy" / "package-lock.json").read_text(encoding="utf-8"))["packages"]
    assert all("integrity" in package for name, package in proxy.items() if name)


def test_the_locked_packages_are_those_of_the_tests(file: Path) -> None:
    tested = dict(PIN.findall((ROOT / "requirements" / "test.txt").read_text()))
    locked = dict(PIN.findall(lock_of(file)))
    differing = {name for name, version in locked.items() if tested.get(name, version) != version}
    assert differing == ({"python-dateutil"} if file.stem == "service" else set()), "s3fs needs one below 3"
    of_service = {"psycopg", "fsspec", "s3fs", "opentelemetry-sdk", "opentelemetry-exporter-otlp-proto-http"}
    extras = {"service": of_service, "hub": {"jupyterhub-kubespawner", "dockerspawner", "psycopg", "pycurl"}}
    wanted = {*extras.get(file.stem, {"jupyterlab", "notebook", "ipykernel"}), "jupyterhub"}
    wanted |= {
        re.split(r"[<>=\[; ]", requirement)[0].lower()
        for requirement in importlib.metadata.requires("aizen-hub") or []
        if "extra ==" not in requirement
    }
    assert wanted <= locked.keys(), "`make lock` after a change of the dependencies"


def test_it_runs_under_a_numbered_account_that_is_not_root(file: Path) -> None:
    (user,) = values_of(file, "USER")
    uid, gid = map(int, user.split(":"))
    assert uid >= 1000
    assert gid > 0
    names = [name for name, _ in instructions(file)]
    assert names.index("USER") > max(index for index, name in enumerate(names) if name in ("RUN", "COPY"))
    assert "PYTHONDONTWRITEBYTECODE=1" in values_of(file, "ENV")[-1], "the root file system may be read-only"


@pytest.mark.proves("R35")
def test_no_secret_is_in_the_image(file: Path) -> None:
    for name in ("ENV", "ARG", "LABEL", "COPY", "ADD"):
        for value in values_of(file, name):
            assert not SECRET_WORDS.search(value), value
    assert values_of(file, "ADD") == []
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert "*" in ignored, "everything but what is named"


def test_what_is_copied_exists_and_is_sent_to_the_builder(file: Path) -> None:
    patterns = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    sources = [
        name for value in values_of(file, "COPY") if not value.startswith("--from=build") for name in value.split()[:-1]
    ]
    assert WHEEL in sources, "the wheel of this version, which `make wheel` writes"
    for name in sources:
        assert name == WHEEL or (ROOT / name).is_file(), name
        assert any(Path(name).match(pattern) for pattern in patterns), name


def test_what_it_starts_is_installed(file: Path) -> None:
    scripts = {entry.name for entry in importlib.metadata.entry_points(group="console_scripts")}
    commands = [json.loads(value) for name in ("CMD", "ENTRYPOINT") for value in values_of(file, name)]
    commands += [json.loads(value.partition("CMD ")[2]) for value in values_of(file, "HEALTHCHECK")]
    assert len(commands) == 2
    installed = shlex.split(" ".join(values_of(file, "RUN")))
    for command in commands:
        assert command[0] in scripts or command[0] == "python3" or command[0] in installed, command
        if "-c" in command:
            compile(command[2], str(file), "exec")


def test_the_image_of_the_service_is_what_the_manifests_run() -> None:
    (file,) = (file for file in FILES if file.stem == "service")
    deployment = yaml.safe_load((ROOT / "deploy" / "kubernetes" / "service" / "deployment.yaml").read_text())
    pod = deployment["spec"]["template"]["spec"]
    assert values_of(file, "USER") == [f"{pod['securityContext']['runAsUser']}:{pod['securityContext']['runAsGroup']}"]
    (container,) = pod["containers"]
    assert json.loads(values_of(file, "CMD")[0]) == container["args"]
    exposed = {int(port) for value in values_of(file, "EXPOSE") for port in value.split()}
    assert exposed == {port["containerPort"] for port in container["ports"]}
    assert container["livenessProbe"]["httpGet"]["path"] in values_of(file, "HEALTHCHECK")[0]


def test_labels_name_the_image_and_its_version(file: Path) -> None:
    (labels,) = values_of(file, "LABEL")
    found = dict(part.split("=", 1) for part in shlex.split(labels))
    prefix = "org.opencontainers.image."
    assert found[f"{prefix}version"] == aizen_hub.__version__
    assert found[f"{prefix}title"].startswith("aizen-hub")
    assert f"/{found[f'{prefix}title']}:{aizen_hub.__version__}" in file.read_text()
