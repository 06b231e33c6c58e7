"""``python requirements/sbom.py``: the bill of materials from the lock files, CycloneDX 1.6 as JSON (R133).

The same lock files and the same environment give the same bytes. It has a time only if ``SOURCE_DATE_EPOCH`` is set.
Licences are those that the installed packages declare; of a package that is not installed here, none is stated.
"""

from __future__ import annotations

import json
import os
import re
import sys
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
LOCKS = ("demo.txt", "node.txt", "test.txt")
"""All lock files; what is only in the last is used in tests and is no part of an installation."""
_FOR_TESTS = "test.txt"
_PRODUCT = "aizen-hub"
_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_DNS, "sbom.aizen-hub")
_PIN = re.compile(
    r"(?P<name>[A-Za-z0-9._-]+)(?:\[[^\]]*\])?==(?P<version>[^\s;\\]+)(?:\s*;\s*(?P<marker>[^\\]+?))?\s*\\?"
)
_HASH = re.compile(r"\s+--hash=sha256:([0-9a-f]{64})\s*\\?")
_VIA = re.compile(r"\s+#(?: via)?\s*(?P<parent>\S*)(?: .*)?")
_FILE_OPTIONS = {"-r": _PRODUCT, "-c": ""}
"""A file that requires a package stands for this product; one that only constrains it requires nothing."""
_LICENSE_CLASSIFIER = "License :: "
_MAX_LICENSE_NAME = 100


class LockFileError(Exception):
    """A line of a lock file has no known form: nothing may be left out silently."""


@dataclass
class Pin:
    """One line of a lock file with what belongs to it: names of packages are normalized."""

    name: str
    version: str
    marker: str | None
    hashes: list[str] = field(default_factory=list)
    parents: set[str] = field(default_factory=set)
    """The packages that require it, among them this product."""

    @property
    def purl(self) -> str:
        return f"pkg:pypi/{self.name}@{self.version.replace('+', '%2B')}"


def read_lock(text: str) -> Iterator[Pin]:
    """Yield the pins of a lock file.

    Raises
    ------
    LockFileError
        A line of another form, or a pin without a hash.
    """
    pin: Pin | None = None
    for line in text.splitlines():
        if found := _PIN.fullmatch(line):
            if pin is not None:
                yield _complete(pin)
            pin = Pin(_normalize(found["name"]), found["version"], found["marker"])
        elif pin is not None and (found := _HASH.fullmatch(line)):
            pin.hashes.append(found[1])
        elif pin is not None and (found := _VIA.fullmatch(line)):
            parent = _FILE_OPTIONS.get(found["parent"], found["parent"])
            if parent:
                pin.parents.add(_normalize(parent.partition(":")[0]))
        elif line.strip():
            raise LockFileError(f"no pin, hash or comment of a lock file: {line!r}")
    if pin is not None:
        yield _complete(pin)


def make_bill(locks: Mapping[str, str], version: str, epoch: int | None = None) -> dict[str, Any]:
    """Return the bill of materials.

    Parameters
    ----------
    locks : mapping
        Name to content of each lock file.
    version : str
        Of this product.
    epoch : int, optional
        Seconds since 1970 that it states as its time.
    """
    pins: dict[str, Pin] = {}
    installed: set[str] = set()
    for file, text in locks.items():
        for pin in read_lock(text):
            known = pins.setdefault(pin.purl, pin)
            known.hashes = sorted({*known.hashes, *pin.hashes})
            known.parents |= pin.parents
            if file != _FOR_TESTS:
                installed.add(pin.purl)
    root = f"pkg:pypi/{_PRODUCT}@{version}"
    components = [_component(pin, required=pin.purl in installed) for _, pin in sorted(pins.items())]
    described: dict[str, Any] = {
        "type": "application",
        "bom-ref": root,
        "name": _PRODUCT,
        "version": version,
        "purl": root,
    }
    bill = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": described},
        "components": components,
        "dependencies": _dependencies(root, pins),
    }
    # The same content has the same number.
    bill["serialNumber"] = f"urn:uuid:{uuid.uuid5(_NAMESPACE, json.dumps(bill, sort_keys=True))}"
    if epoch is not None:
        bill["metadata"] |= {"timestamp": datetime.fromtimestamp(epoch, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")}
    return bill


def _complete(pin: Pin) -> Pin:
    if not pin.hashes:
        raise LockFileError(f"{pin.name}=={pin.version} has no hash")
    return pin


def _normalize(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _component(pin: Pin, *, required: bool) -> dict[str, Any]:
    component: dict[str, Any] = {
        "type": "library",
        "bom-ref": pin.purl,
        "name": pin.name,
        "version": pin.version,
        "purl": pin.purl,
        "scope": "required" if required else "excluded",
        # One for each file of this version that an installation accepts.
        "hashes": [{"alg": "SHA-256", "content": content} for content in sorted(pin.hashes)],
    }
    licenses = _licenses(pin)
    if licenses:
        component["licenses"] = licenses
    if pin.marker:
        component["properties"] = [{"name": "aizen-hub:environment-marker", "value": pin.marker}]
    return component


def _licenses(pin: Pin) -> list[dict[str, Any]]:
    try:
        declared = metadata.metadata(pin.name)
    except metadata.PackageNotFoundError:
        return []
    if declared["Version"] != pin.version:
        return []
    if expression := declared.get("License-Expression"):
        return [{"expression": expression}]
    classifiers = declared.get_all("Classifier") or []
    names = {entry.rpartition(" :: ")[2] for entry in classifiers if entry.startswith(_LICENSE_CLASSIFIER)}
    names.discard("OSI Approved")
    text = (declared.get("License") or "").strip()
    if not names and text and "\n" not in text and len(text) <= _MAX_LICENSE_NAME:
        names = {text}
    return [{"license": {"name": name}} for name in sorted(names)]


def _dependencies(root: str, pins: Mapping[str, Pin]) -> list[dict[str, Any]]:
    refs: dict[str, list[str]] = {_PRODUCT: [root]}
    for pin in pins.values():
        refs.setdefault(pin.name, []).append(pin.purl)
    children: dict[str, set[str]] = {root: set(), **{purl: set() for purl in pins}}
    for pin in pins.values():
        for parent in pin.parents:
            if parent not in refs:
                raise LockFileError(f"{pin.name} is required by {parent}, which is in no lock file")
            for ref in refs[parent]:
                children[ref].add(pin.purl)
    return [{"ref": ref, "dependsOn": sorted(below)} for ref, below in sorted(children.items())]


def main() -> int:
    """Write the bill of materials of this repository to standard output."""
    found = re.search(r'^__version__ = "([^"]+)"$', (FOLDER.parent / "aizen_hub/__init__.py").read_text("utf-8"), re.M)
    if found is None:
        raise LockFileError("aizen_hub/__init__.py states no version")
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    locks = {name: (FOLDER / name).read_text(encoding="utf-8") for name in LOCKS}
    bill = make_bill(locks, found[1], None if epoch is None else int(epoch))
    json.dump(bill, sys.stdout, indent=2, sort_keys=True)
    sys.stdout.write("\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
