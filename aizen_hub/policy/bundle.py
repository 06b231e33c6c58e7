"""The policy bundle for remote workers: the policy and the members of every project, as signed and dated files.

A downloaded file is never authoritative: it may be outdated, and only the service decides.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from aizen_hub.accounts.projects import members
from aizen_hub.authorization import checks
from aizen_hub.commands.result import to_json_value
from aizen_hub.problems import NotFound
from aizen_hub.rbac.role import SYSTEM
from aizen_hub.store import tables
from aizen_hub.tokens.jws import sign_jws
from aizen_hub.tokens.keys import Purpose

if TYPE_CHECKING:
    from aizen_hub.store.transaction import ReadTransaction, WriteTransaction
    from aizen_hub.tokens.keys import KeyRing

ENDPOINT = "sync"
"""The catalog endpoint whose permission the bundle requires."""
POLICY = "policy"
_PROJECT = "project:"


@dataclass(frozen=True, slots=True)
class BundleFile:
    """One file of the bundle at one revision."""

    name: str
    content: str

    @property
    def sha256(self) -> str:
        """Hexadecimal SHA-256 of the content in UTF-8."""
        return hashlib.sha256(self.content.encode()).hexdigest()


def list_files(tx: WriteTransaction) -> list[dict[str, Any]]:
    """List the files with their size and hash, by which a worker sees whether its copy is current.

    Raises
    ------
    NotFound
        The catalog does not define the endpoint.
    Denied
        The actor does not have its permission.
    """
    _require_sync(tx)
    names = [POLICY, *(f"{_PROJECT}{name}" for name in _project_names(tx))]
    files = [_build_file(tx, name) for name in names]
    tx.audit("sync.listed", details={"files": len(files)})
    return [{"name": file.name, "sha256": file.sha256, "bytes": len(file.content.encode())} for file in files]


def download_file(tx: WriteTransaction, ring: KeyRing, name: str) -> dict[str, Any]:
    """Return one file with its signature: a JWS over name, hash, revision and time, typed ``aizen-sync+jwt``.

    Raises
    ------
    NotFound
        There is no such file, or the catalog does not define the endpoint.
    Denied
        The actor does not have the permission.
    Unavailable
        There is no usable signing key.
    """
    _require_sync(tx)
    file = _build_file(tx, name)
    claims = {
        "iss": tx.settings.service_url,
        "name": file.name,
        "sha256": file.sha256,
        "rev": tx.revision,
        "iat": int(tx.now.timestamp()),
        "authoritative": False,
    }
    tx.audit("sync.downloaded", details={"file": file.name, "sha256": file.sha256})
    return {
        "name": file.name,
        "content": file.content,
        "sha256": file.sha256,
        "revision": tx.revision,
        "issued": to_json_value(tx.now),
        "authoritative": False,
        "signature": sign_jws(ring, Purpose.SYNC, claims),
    }


def _require_sync(tx: WriteTransaction) -> None:
    permission = tx.catalog.endpoints.get(ENDPOINT)
    if permission is None:
        raise NotFound("the catalog of this deployment does not offer policy bundles")
    checks.require(tx, str(permission), SYSTEM)


def _project_names(tx: ReadTransaction) -> list[str]:
    return list(tx.conn.execute(select(tables.projects.c.name).order_by(tables.projects.c.name)).scalars())


def _build_file(tx: ReadTransaction, name: str) -> BundleFile:
    if name == POLICY:
        return BundleFile(name, _canonical_json(_policy_content(tx)))
    project = name.removeprefix(_PROJECT)
    if project == name or project not in _project_names(tx):
        raise NotFound("there is no such file to download")
    return BundleFile(name, _canonical_json({"project": project, "members": members.list_members(tx, project)}))


def _policy_content(tx: ReadTransaction) -> dict[str, Any]:
    a = tables.assignments
    rows = tx.conn.execute(select(a).order_by(a.c.scope, a.c.role, a.c.identity))
    assignments = [
        {"role": row.role, "scope": row.scope, "identity": row.identity, "from": row.starts, "until": row.ends}
        for row in rows
    ]
    roles = {
        role.name: {"permissions": sorted(map(str, role.permissions)), "scopes": sorted(map(str, role.scopes))}
        for role in tx.roles.values()
    }
    return {
        "catalog": tx.catalog.name,
        "hash": tx.catalog.hash,
        "roles": roles,
        "assignments": to_json_value(assignments),
    }


def _canonical_json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
