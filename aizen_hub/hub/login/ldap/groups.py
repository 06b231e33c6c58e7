"""The groups of a person in a directory: by names compared as names, nested ones within limits."""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import dataclass

from aizen_hub.hub.login.ldap.config import LdapConfig
from aizen_hub.hub.login.ldap.connection import Directory, DirectoryFailed
from aizen_hub.hub.login.ldap.entry import Entry
from aizen_hub.hub.login.provider import show
from aizen_hub.validation.distinguished_name import Dn, DnError, escape_filter, leaf_value

log = logging.getLogger("aizen_hub.login")

MAX_GROUPS = 1000


@dataclass(frozen=True, slots=True)
class Groups:
    """What was found: names for the service, and whether one of the allowed groups is among them."""

    names: tuple[str, ...]
    allowed: bool


class GroupReader:
    """Reads direct and nested groups as the settings say."""

    def __init__(self, traits: LdapConfig) -> None:
        self._traits = traits
        self._allowed = frozenset(Dn.parse(one) for one in traits.allowed_groups or ())
        self._base = Dn.parse(traits.group_search_base) if traits.group_search_base else None

    def read(self, directory: Directory, entry: Entry, uid: str) -> Groups:
        """Return the groups of one person.

        Raises
        ------
        DirectoryFailed
            No answer, or more than 1,000 groups: what cannot be read whole is not used at all.
        """
        found = self._direct(directory, entry, uid)
        self._follow(directory, found)
        allowed = not self._allowed.isdisjoint(found) or self._asked(directory, entry, uid)
        return Groups(self._names(found), allowed)

    def _direct(self, directory: Directory, entry: Entry, uid: str) -> dict[Dn, str]:
        found: dict[Dn, str] = {}
        for value in entry.texts("memberOf"):
            _add(found, value)
        if self._traits.group_search_base:
            for group in self._members(directory, entry.dn, uid):
                _add(found, group.dn)
        return found

    def _follow(self, directory: Directory, found: dict[Dn, str]) -> None:
        # Breadth first over what is new: a cycle adds nothing and ends the walk.
        fresh = list(found.values())
        for _ in range(self._traits.nested_group_depth):
            above: dict[Dn, str] = {}
            for dn in fresh:
                for group in self._members(directory, dn, ""):
                    _add(above, group.dn)
            new = {key: dn for key, dn in above.items() if key not in found}
            if not new:
                return
            found |= new
            if len(found) > MAX_GROUPS:
                raise DirectoryFailed(f"a person is in more than {MAX_GROUPS} groups")
            fresh = list(new.values())

    def _members(self, directory: Directory, member: str, uid: str) -> tuple[Entry, ...]:
        groups = directory.search(
            self._traits.group_search_base, self._condition(member, uid), ["1.1"], limit=MAX_GROUPS
        )
        if len(groups) > MAX_GROUPS:
            raise DirectoryFailed(f"a person is in more than {MAX_GROUPS} groups")
        return groups

    def _asked(self, directory: Directory, entry: Entry, uid: str) -> bool:
        """Ask each allowed group for the person, for directories without ``memberOf`` and groups outside the base."""
        condition = self._condition(entry.dn, uid)
        return any(directory.read(dn, ["1.1"], condition) is not None for dn in self._traits.allowed_groups or ())

    def _condition(self, member: str, uid: str) -> str:
        condition = self._traits.group_search_filter.replace("{userdn}", escape_filter(member))
        if "{uid}" in condition and not uid:
            # A group has no login name; this value matches no memberUid.
            uid = "\0"
        return condition.replace("{uid}", escape_filter(uid))

    def _names(self, found: dict[Dn, str]) -> tuple[str, ...]:
        below = {key: dn for key, dn in found.items() if self._base is None or key.within(self._base)}
        if self._traits.group_names == "dn":
            return tuple(sorted(below.values()))
        leaves = {dn: leaf_value(dn) for dn in below.values()}
        times = Counter(leaf.casefold() for leaf in leaves.values())
        for dn, leaf in leaves.items():
            if times[leaf.casefold()] > 1:
                # Taking the leaf for the name would make `cn=admin,ou=games` count as `cn=admin,ou=it`.
                log.warning("group `%s` does not count: another group has the same short name", show(dn, 200))
        return tuple(sorted(leaf for leaf in leaves.values() if times[leaf.casefold()] == 1))


def _add(found: dict[Dn, str], dn: str) -> None:
    try:
        found.setdefault(Dn.parse(dn), dn)
    except DnError:
        log.warning("group `%s` does not count: malformed name", show(dn, 200))
