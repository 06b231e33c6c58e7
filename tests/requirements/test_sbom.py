"""The bill of materials, compared with the lock files themselves."""

from __future__ import annotations

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
LOCKED = {path.name: path.read_text(encoding="utf-8") for path in sorted((ROOT / "requirements").glob("*.txt"))}
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


@pytest.mark.proves("R133")
def test_every_pinned_package_is_in_it_with_its_hashes(bill: dict[str, Any]) -> None:
    assert set(sbom.LOCKS) == set(LOCKED), "a new lock file is part of the bill"
    wanted = {
        f"pkg:pypi/{re.sub(r'[-_.]+', '-', name).lower()}@{version}"
        for lock in LOCKED.values()
        for name, version in PIN.findall(lock)
    }
    components = {component["purl"]: component for component in bill["components"]}
    assert components.keys() == wanted
    assert len(bill["components"]) == len(wanted) > 100
    hashes = {digest["content"] for component in components.values() for digest in component["hashes"]}
    assert hashes == set(re.findall(r"sha256:([0-9a-f]{64})", "".join(LOCKED.values())))
    assert all(component["hashes"] and component["name"] and component["version"] for component in components.values())


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
