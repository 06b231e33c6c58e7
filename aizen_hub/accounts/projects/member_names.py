"""Members of a project users file: users by their name, groups as ``group:NAME``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from aizen_hub.accounts import identities
from aizen_hub.accounts.names import normalization
from aizen_hub.accounts.names.normalization import NameKind
from aizen_hub.commands.users_files import GROUP_PREFIX, MemberEntry, Rows
from aizen_hub.problems import Fault, NotFound
from aizen_hub.rbac.identity import Identity
from aizen_hub.validation.printable import excerpt

if TYPE_CHECKING:
    from aizen_hub.store.transaction import ReadTransaction


def parse_member(text: str) -> Identity | None:
    """Return the user or group that an ``id`` of the file names; None for text that can be neither."""
    is_group = text.startswith(GROUP_PREFIX)
    kind = NameKind.GROUP if is_group else NameKind.USER
    name = normalization.canonical_or_none(text.removeprefix(GROUP_PREFIX) if is_group else text, kind)
    if name is None:
        return None
    return Identity.group(name) if is_group else Identity.user(name)


def member_id(identity: str) -> str:
    """Return the ``id`` of a stored user or group in the file."""
    return identity if identity.startswith(GROUP_PREFIX) else Identity.parse(identity).name


def find_faults(tx: ReadTransaction, rows: Rows) -> list[Fault]:
    """Return a fault for each member that is not registered or is in the file twice."""
    seen: set[Identity] = set()
    faults = []
    for index, text, _ in rows:
        identity = parse_member(text)
        if identity is None or not _exists(tx, identity):
            what = "is not a group" if text.startswith(GROUP_PREFIX) else "is not registered"
            faults.append(Fault(f"/{index}/id", f"`{excerpt(text)}` {what}"))
        elif identity in seen:
            faults.append(Fault(f"/{index}/id", f"`{identity.name}` is in the file twice"))
        else:
            seen.add(identity)
    return faults


def index_members(entries: Sequence[MemberEntry]) -> dict[Identity, int]:
    """Return the position of each member in a file without faults."""
    positions = {parse_member(entry.id): index for index, entry in enumerate(entries)}
    return {identity: index for identity, index in positions.items() if identity is not None}


def _exists(tx: ReadTransaction, identity: Identity) -> bool:
    try:
        identities.require_identity(tx, identity)
    except NotFound:
        return False
    return True
