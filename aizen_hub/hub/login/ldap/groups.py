"""Group memberships of a user in a directory, with nested groups up to a limit."""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import dataclass

from aizen_hub.hub.login.ldap.config import LdapConfig
from aizen_hub.hub.login.ldap.connection import DirectoryError, LdapConnection
from aizen_hub.hub.login.ldap.entry import DirectoryEntry
from aizen_hub.hub.login.provider import printable
from aizen_hub.validation.distinguished_name import Dn, DnError, escape_filter, leaf_rdn_value

log = logging.getLogger("aizen_hub.login")

MAX_GROUPS = 1000


@dataclass(frozen=True, slots=True)
class GroupMemberships:
    """Group names for the service, and whether one of the allowed groups is among them."""

    names: tuple[str, ...]
    allowed: bool


class GroupReader:
    """Reads direct and nested groups, as configured."""

    def __init__(self, traits: LdapConfig) -> None:
        self._traits = traits
        self._allowed = frozenset(Dn.parse(dn) for dn in traits.allowed_groups or ())
        self._base = Dn.parse(traits.group_search_base) if traits.group_search_base else None

    def read(self, connection: LdapConnection, entry: DirectoryEntry, uid: str) -> GroupMemberships:
        """Return the groups of one user.

        Raises
        ------
        DirectoryError
            No response, or more than 1,000 groups: an incomplete list is not used at all.
        """
        groups = self._direct_groups(connection, entry, uid)
        self._add_nested_groups(connection, groups)
        allowed = not self._allowed.isdisjoint(groups) or self._is_in_allowed_group(connection, entry, uid)
        return GroupMemberships(self._group_names(groups), allowed)

    def _direct_groups(self, connection: LdapConnection, entry: DirectoryEntry, uid: str) -> dict[Dn, str]:
        groups: dict[Dn, str] = {}
        for value in entry.text_values("memberOf"):
            _add_group(groups, value)
        if self._traits.group_search_base:
            for group in self._groups_containing(connection, entry.dn, uid):
                _add_group(groups, group.dn)
        return groups

    def _add_nested_groups(self, connection: LdapConnection, groups: dict[Dn, str]) -> None:
        # Breadth first over new groups only, so that a cycle ends the walk.
        current = list(groups.values())
        for _ in range(self._traits.nested_group_depth):
            parents: dict[Dn, str] = {}
            for dn in current:
                for group in self._groups_containing(connection, dn, ""):
                    _add_group(parents, group.dn)
            new = {key: dn for key, dn in parents.items() if key not in groups}
            if not new:
                return
            groups |= new
            if len(groups) > MAX_GROUPS:
                raise DirectoryError(f"a user is in more than {MAX_GROUPS} groups")
            current = list(new.values())

    def _groups_containing(self, connection: LdapConnection, member: str, uid: str) -> tuple[DirectoryEntry, ...]:
        groups = connection.search(
            self._traits.group_search_base, self._group_filter(member, uid), ["1.1"], limit=MAX_GROUPS
        )
        if len(groups) > MAX_GROUPS:
            raise DirectoryError(f"a user is in more than {MAX_GROUPS} groups")
        return groups

    def _is_in_allowed_group(self, connection: LdapConnection, entry: DirectoryEntry, uid: str) -> bool:
        """Query each allowed group for the user, for directories without ``memberOf`` and groups outside the base."""
        condition = self._group_filter(entry.dn, uid)
        return any(connection.read(dn, ["1.1"], condition) is not None for dn in self._traits.allowed_groups or ())

    def _group_filter(self, member: str, uid: str) -> str:
        condition = self._traits.group_search_filter.replace("{userdn}", escape_filter(member))
        if "{uid}" in condition and not uid:
            # A group has no login name; this value matches no memberUid.
            uid = "\0"
        return condition.replace("{uid}", escape_filter(uid))

    def _group_names(self, groups: dict[Dn, str]) -> tuple[str, ...]:
        in_base = {key: dn for key, dn in groups.items() if self._base is None or key.is_within(self._base)}
        if self._traits.group_names == "dn":
            return tuple(sorted(in_base.values()))
        leaves = {dn: leaf_rdn_value(dn) for dn in in_base.values()}
        counts = Counter(leaf.casefold() for leaf in leaves.values())
        for dn, leaf in leaves.items():
            if counts[leaf.casefold()] > 1:
                # By the leaf name, `cn=admin,ou=games` would count as `cn=admin,ou=it`.
                log.warning("group `%s` is ignored: another group has the same short name", printable(dn, 200))
        return tuple(sorted(leaf for leaf in leaves.values() if counts[leaf.casefold()] == 1))


def _add_group(groups: dict[Dn, str], dn: str) -> None:
    try:
        groups.setdefault(Dn.parse(dn), dn)
    except DnError:
        log.warning("group `%s` is ignored: malformed name", printable(dn, 200))
