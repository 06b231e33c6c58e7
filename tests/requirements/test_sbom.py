"""The bill of materials, compared with the lock files themselves."""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from requirements import sbom

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "requirements"
LOCKED = {str(path.relative_to(FOLDER)): path.read_text(encoding="utf-8") for path in sorted(FOLDER.rglob("*.txt"))}
NPM_LOCKS = [
    path
    for folder in ("lab", "deploy")
    for path in (ROOT / folder).rglob("package-lock.json")
    if "node_modules" not in path.parts
]
PIN = re.compile(r"^([A-Za-z0-9._-]+)(?:\[.*?\])?==(\S+)", re.MULTILINE)


def run(epoch: str | None = None) -> str:
    environ = {name: value for name, value in os.environ.items() if name != "SOURCE_DATE_EPOCH"}
    environ |= {} if epoch is None else {"SOURCE_DATE_EPOCH": epoch}
    command = [sys.executable, "requirements/sbom.py"]
    return subprocess.run(
        command, cwd=ROOT, env=environ, capture_output=True, text=True, timeout=120, check=True
    ).stdout


@pytest.fixture(scope="module")
def text() -> str:
    return run()


@pytest.fixture(scope="module")
def bill(text: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(text)
    return document


def of_kind(bill: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    return [component for component in bill["components"] if component["purl"].startswith(f"pkg:{kind}/")]


@pytest.mark.proves("R133")
def test_every_pinned_package_is_in_it_with_its_hashes(bill: dict[str, Any]) -> None:
    assert set(sbom.LOCKS) == set(LOCKED), "a new lock file is part of the bill"
    wanted = {
        f"pkg:pypi/{re.sub(r'[-_.]+', '-', name).lower()}@{version}"
        for lock in LOCKED.values()
        for name, version in PIN.findall(lock)
    }
    components = {component["purl"]: component for component in of_kind(bill, "pypi")}
    assert components.keys() == wanted
    assert len(of_kind(bill, "pypi")) == len(wanted) > 100
    hashes = {digest["content"] for component in components.values() for digest in component["hashes"]}
    assert hashes == set(re.findall(r"sha256:([0-9a-f]{64})", "".join(LOCKED.values())))
    assert all(component["hashes"] and component["name"] and component["version"] for component in components.values())


@pytest.mark.proves("R133")
def test_every_npm_package_of_extension_and_proxy_is_in_it_with_its_hashes(bill: dict[str, Any]) -> None:
    assert set(sbom.NPM_LOCKS) == set(NPM_LOCKS), "a new lock file is part of the bill"
    entries = [
        (path.rpartition("node_modules/")[2], entry)
        for lock in NPM_LOCKS
        for path, entry in json.loads(lock.read_text(encoding="utf-8"))["packages"].items()
        if path
    ]
    components = {f"{component['name']}@{component['version']}": component for component in of_kind(bill, "npm")}
    assert components.keys() == {f"{name}@{entry['version']}" for name, entry in entries}
    hashes = {digest["content"] for component in components.values() for digest in component["hashes"]}
    assert hashes == {base64.b64decode(entry["integrity"].removeprefix("sha512-")).hex() for _, entry in entries}
    (application,) = (each for each in components.values() if each["name"] == "@jupyterlab/application")
    assert application["purl"] == f"pkg:npm/%40jupyterlab/application@{application['version']}"
    assert application["licenses"] == [{"license": {"name": "BSD-3-Clause"}}]
    scopes = {component["name"]: component["scope"] for component in components.values()}
    assert (scopes["@jupyterlab/application"], scopes["typescript"]) == ("required", "excluded")
    graph = {entry["ref"]: entry["dependsOn"] for entry in bill["dependencies"]}
    assert application["purl"] in graph[bill["metadata"]["component"]["bom-ref"]]
    assert any(ref.startswith("pkg:npm/%40lumino/application@") for ref in graph[application["purl"]])
    (proxy,) = (each for each in components.values() if each["name"] == "configurable-http-proxy")
    assert (proxy["scope"], proxy["purl"] in graph[bill["metadata"]["component"]["bom-ref"]]) == ("required", True)


def test_it_is_a_bill_of_materials_of_this_product(bill: dict[str, Any]) -> None:
    assert (bill["bomFormat"], bill["specVersion"], bill["version"]) == ("CycloneDX", "1.6", 1)
    assert re.fullmatch(r"urn:uuid:[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", bill["serialNumber"])
    product = bill["metadata"]["component"]
    assert (product["name"], product["type"]) == ("aizen-hub", "application")
    refs = [component["bom-ref"] for component in bill["components"]]
    assert len({*refs, product["bom-ref"]}) == len(refs) + 1
    graph = {entry["ref"]: entry["dependsOn"] for entry in bill["dependencies"]}
    assert graph.keys() == {*refs, product["bom-ref"]}
    assert {ref for below in graph.values() for ref in below} == set(refs), "each is required by something"
    assert any(ref.startswith("pkg:pypi/jupyterhub@") for ref in graph[product["bom-ref"]])


def test_what_only_tests_need_is_no_part_of_an_installation(bill: dict[str, Any]) -> None:
    scopes = {component["name"]: component["scope"] for component in bill["components"]}
    assert scopes["pytest"] == scopes["schemathesis"] == "excluded"
    assert scopes["jupyterhub"] == scopes["sqlalchemy"] == "required"
    of_images = ("jupyterhub-kubespawner", "dockerspawner", "psycopg", "s3fs", "opentelemetry-sdk")
    assert {scopes[name] for name in of_images} == {"required"}


def test_licences_are_those_of_the_installed_packages(bill: dict[str, Any]) -> None:
    licenses = {component["name"]: component.get("licenses") for component in bill["components"]}
    declared = metadata.metadata("pytest")
    assert licenses["pytest"] == [{"expression": declared["License-Expression"]}]
    assert sum(bool(each) for each in licenses.values()) > len(licenses) * 0.8


@pytest.mark.proves("R133")
def test_it_is_reproducible(text: str) -> None:
    assert run() == text
    assert "timestamp" not in text
    dated = json.loads(run("1800000000"))
    assert dated["metadata"].pop("timestamp") == "2027-01-15T08:00:00Z"
    assert dated == json.loads(text)


@pytest.mark.proves("R133")
@pytest.mark.parametrize(
    ("lock", "says"),
    [
        ("a==1\n", "has no hash"),
        ("a==1 \\\n    --hash=sha256:" + "0" * 64 + "\nb>=2\n", "no pin"),
        ("git+https://host/a\n", "no pin"),
        ("a==1 \\\n    --hash=md5:0\n", "no pin"),
    ],
)
def test_what_is_not_pinned_with_a_hash_is_refused(lock: str, says: str) -> None:
    with pytest.raises(sbom.LockFileError, match=says):
        sbom.make_bill({"test.txt": lock}, "1")


@pytest.mark.proves("R133")
@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"integrity": ""}, "no hash"),
        ({"integrity": "sha1-" + "A" * 28}, "no hash"),
        ({"dependencies": {"c": "*"}}, "has no place"),
    ],
)
def test_an_npm_package_that_is_not_pinned_with_a_hash_is_refused(changes: dict[str, Any], says: str) -> None:
    package = {"version": "1.0.0", "integrity": "sha512-" + base64.b64encode(bytes(64)).decode()}
    lock = {"lockfileVersion": 3, "packages": {"": {"dependencies": {"b": "*"}}, "node_modules/b": package}}
    assert set(sbom.read_npm_lock(json.dumps(lock))[0]) == {"pkg:npm/b@1.0.0"}
    package |= changes
    with pytest.raises(sbom.LockFileError, match=says):
        sbom.read_npm_lock(json.dumps(lock))


def test_an_npm_package_requires_the_version_that_is_nearest() -> None:
    package = {"integrity": "sha512-" + base64.b64encode(bytes(64)).decode(), "dependencies": {"c": "*"}}
    paths = {"a": "1", "a/node_modules/c": "2", "b": "1", "c": "1"}
    entries = {f"node_modules/{path}": {**package, "version": version} for path, version in paths.items()}
    lock = {"lockfileVersion": 3, "packages": {"": {"dependencies": {"a": "*", "b": "*"}}, **entries}}
    packages, direct = sbom.read_npm_lock(json.dumps(lock))
    assert direct == {"pkg:npm/a@1", "pkg:npm/b@1"}
    assert packages["pkg:npm/a@1"].children == {"pkg:npm/c@2"}
    assert packages["pkg:npm/b@1"].children == {"pkg:npm/c@1"}
