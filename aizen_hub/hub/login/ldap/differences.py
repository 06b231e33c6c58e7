"""Settings of ldapauthenticator that act differently here; docs/ldap.md lists the same, with the reasons."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from aizen_hub.hub.login.ldap.config import LdapConfig


class SettingDifference(NamedTuple):
    """A configured setting with another effect than in ldapauthenticator.

    Attributes
    ----------
    setting : str
        Its name, below ``config``.
    effect : str
        What it does here, and what ldapauthenticator would do.
    remedy : str
    """

    setting: str
    effect: str
    remedy: str


def find_differences(traits: LdapConfig) -> Iterator[SettingDifference]:
    """Yield the differences that concern the configured settings."""
    configured = traits.config.LdapConfig
    if traits.allowed_users and traits.allowed_groups:
        yield SettingDifference(
            "allowed_users",
            "users must be listed and in one of `allowed_groups`; ldapauthenticator admits those who are either",
            "keep one of the two, or make a group of the directory for the listed users",
        )
    if traits.search_filter and traits.lookup_dn:
        yield SettingDifference(
            "search_filter",
            "the lookup account searches, and must find the user's own entry; ldapauthenticator searches as the user, "
            "and accepts any single entry",
            "let the lookup account read the attributes in the filter",
        )
    if "valid_username_regex" in configured and not traits.valid_username_regex.endswith("$"):
        yield SettingDifference(
            "valid_username_regex",
            "the whole name must match; for ldapauthenticator its start is enough",
            "write the pattern for whole names, with `$` at its end",
        )
    has_own_lookup = traits.lookup_dn and traits.lookup_dn_search_filter != "({login_attr}={login})"
    if has_own_lookup and not traits.use_lookup_dn_username:
        yield SettingDifference(
            "lookup_dn_search_filter",
            f"the user name is the entry's `{traits.user_attribute}`, whatever was entered; for ldapauthenticator it "
            "is what was entered, so one user could have several names",
            f"register users by their `{traits.user_attribute}`",
        )
