"""``python requirements/sbom.py``: the bill of materials from the lock files, CycloneDX 1.6 as JSON (R133).

The lock files are those of Python here, also those of the images in ``deploy/docker``, and those of npm: for the
JupyterLab extension in ``lab``, and for the proxy in the image of the hub. Packages of the distribution in the base of
an image are not in it: a scanner of images lists them. The same lock files
and the same environment give the same bytes. It has a time only if ``SOURCE_DATE_EPOCH`` is set. Licences are those
that the installed packages of Python declare, and those that npm's lock file states; for others none is stated.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import re
import sys
import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
_FOR_TESTS = "test.txt"
LOCKS = ("demo.txt", "images/hub.txt", "images/server.txt", "images/service.txt", "node.txt", _FOR_TESTS)
"""All lock files; what is only in the last is used in tests and is no part of an installation."""
NPM_LOCKS = (FOLDER.parent / "lab/package-lock.json", FOLDER.parent / "deploy/docker/proxy/package-lock.json")
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
_NPM_FORMAT, _SHA512_BYTES = 3, 64
_NPM_FOLDER = "node_modules/"
_NPM_NEEDED = ("dependencies", "devDependencies")
_NPM_IF_PRESENT = ("optionalDependencies", "peerDependencies")


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


@dataclass
class NpmPackage:
    """One version of an npm package, which the lock file may place at several paths.

    Attributes
    ----------
    is_required : bool
        Whether the extension is made of it or needs it; else it only builds or tests the extension.
    children : set of str
        The package URLs of what it requires.
    """

    name: str
    version: str
    license: str | None
    hashes: set[str] = field(default_factory=set)
    is_required: bool = False
    children: set[str] = field(default_factory=set)

    @property
    def purl(self) -> str:
        return _npm_purl(self.name, self.version)


def read_npm_lock(text: str) -> tuple[dict[str, NpmPackage], set[str]]:
    """Return the packages of ``package-lock.json`` by package URL, and the URLs of those that the extension names.

    Raises
    ------
    LockFileError
        Another format, a package without a hash, or a requirement that the file does not place.
    """
    document = json.loads(text)
    if document.get("lockfileVersion") != _NPM_FORMAT:
        raise LockFileError("package-lock.json has not the format of version 3")
    entries: dict[str, dict[str, Any]] = document["packages"]
    packages: dict[str, NpmPackage] = {}
    direct: set[str] = set()
    for path, entry in entries.items():
        children = {_npm_purl(_npm_name(child), entries[child]["version"]) for child in _npm_children(path, entries)}
        if not path:
            direct = children
            continue
        package = NpmPackage(_npm_name(path), entry["version"], entry.get("license"))
        package = packages.setdefault(package.purl, package)
        package.hashes.add(_npm_hash(path, entry))
        package.is_required |= not entry.get("dev", False)
        package.children |= children
    return packages, direct


def _merge_npm_locks(texts: Iterable[str]) -> tuple[dict[str, NpmPackage], set[str]]:
    packages: dict[str, NpmPackage] = {}
    direct: set[str] = set()
    for text in texts:
        found, named = read_npm_lock(text)
        direct |= named
        for purl, package in found.items():
            known = packages.setdefault(purl, package)
            known.hashes |= package.hashes
            known.is_required |= package.is_required
            known.children |= package.children
    return packages, direct


def make_bill(
    locks: Mapping[str, str], version: str, epoch: int | None = None, npm_locks: Iterable[str] = ()
) -> dict[str, Any]:
    """Return the bill of materials.

    Parameters
    ----------
    locks : mapping
        Name to content of each lock file.
    version : str
        Of this product.
    epoch : int, optional
        Seconds since 1970 that it states as its time.
    npm_locks : iterable of str
        Content of each ``package-lock.json``.
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
    packages, direct = _merge_npm_locks(npm_locks)
    components = [_component(pin, required=pin.purl in installed) for _, pin in sorted(pins.items())]
    components += [_npm_component(package) for _, package in sorted(packages.items())]
    children = _dependencies(root, pins) | {purl: package.children for purl, package in packages.items()}
    children[root] |= direct
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
        "dependencies": [{"ref": ref, "dependsOn": sorted(below)} for ref, below in sorted(children.items())],
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


def _dependencies(root: str, pins: Mapping[str, Pin]) -> dict[str, set[str]]:
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
    return children


def _npm_purl(name: str, version: str) -> str:
    return f"pkg:npm/{name.replace('@', '%40')}@{version.replace('+', '%2B')}"


def _npm_name(path: str) -> str:
    return path.rpartition(_NPM_FOLDER)[2]


def _npm_hash(path: str, entry: Mapping[str, Any]) -> str:
    kind, _, digest = str(entry.get("integrity", "")).partition("-")
    try:
        content = base64.b64decode(digest, validate=True)
    except binascii.Error:
        content = b""
    if kind != "sha512" or len(content) != _SHA512_BYTES:
        raise LockFileError(f"{path} has no hash of SHA-512")
    return content.hex()


def _npm_children(path: str, entries: Mapping[str, dict[str, Any]]) -> Iterator[str]:
    """Yield the paths of what a package requires, which Node.js looks for in its own folder and in those above it."""
    for kind in (*_NPM_NEEDED, *_NPM_IF_PRESENT):
        for name in entries[path].get(kind, {}):
            found = _find_npm_package(path, name, entries)
            if found is not None:
                yield found
            elif kind in _NPM_NEEDED:
                raise LockFileError(f"{path or 'the extension'} requires {name}, which has no place")


def _find_npm_package(path: str, name: str, entries: Mapping[str, dict[str, Any]]) -> str | None:
    folder = path
    while True:
        candidate = f"{folder}/{_NPM_FOLDER}{name}" if folder else f"{_NPM_FOLDER}{name}"
        if candidate in entries:
            return candidate
        if not folder:
            return None
        folder = folder.rpartition(_NPM_FOLDER)[0].rstrip("/")


def _npm_component(package: NpmPackage) -> dict[str, Any]:
    component: dict[str, Any] = {
        "type": "library",
        "bom-ref": package.purl,
        "name": package.name,
        "version": package.version,
        "purl": package.purl,
        "scope": "required" if package.is_required else "excluded",
        "hashes": [{"alg": "SHA-512", "content": content} for content in sorted(package.hashes)],
    }
    if package.license:
        component["licenses"] = [{"license": {"name": package.license}}]
    return component


def main() -> int:
    """Write the bill of materials of this repository to standard output."""
    found = re.search(r'^__version__ = "([^"]+)"$', (FOLDER.parent / "aizen_hub/__init__.py").read_text("utf-8"), re.M)
    if found is None:
        raise LockFileError("aizen_hub/__init__.py states no version")
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    locks = {name: (FOLDER / name).read_text(encoding="utf-8") for name in LOCKS}
    npm_locks = [path.read_text(encoding="utf-8") for path in NPM_LOCKS]
    bill = make_bill(locks, found[1], None if epoch is None else int(epoch), npm_locks)
    json.dump(bill, sys.stdout, indent=2, sort_keys=True)
    sys.stdout.write("\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
