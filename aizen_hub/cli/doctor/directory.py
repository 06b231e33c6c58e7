"""Checks of LDAP directories: the connection, and whether what aizen.yaml names exists there."""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING

from aizen_hub.diagnosis.check_result import CheckResult, in_settings
from aizen_hub.diagnosis.installation import Installation
from aizen_hub.settings import ConfigurationError, ProviderSettings

if TYPE_CHECKING:
    from aizen_hub.hub.login.ldap.config import LdapConfig
    from aizen_hub.hub.login.ldap.connection import LdapConnection


def check_directories(installation: Installation) -> Iterator[CheckResult]:
    for provider in installation.settings.providers:
        if provider.kind != "ldap":
            continue
        try:
            yield from _check_directory(provider, installation)
        except ConfigurationError as error:
            yield CheckResult.error(
                "provider", in_settings(f"providers.{provider.name}"), str(error), "correct that key; see docs/ldap.md"
            )


def _check_directory(provider: ProviderSettings, installation: Installation) -> Iterator[CheckResult]:
    from aizen_hub.hub.login.ldap.config import build_server_pool, read_ldap_config
    from aizen_hub.hub.login.ldap.connection import DirectoryError, LdapConnection, LoginDeadline
    from aizen_hub.hub.login.ldap.differences import find_differences

    traits = read_ldap_config(provider, installation.folder)
    for setting, effect, instead in find_differences(traits):
        key = f"providers.{provider.name}.config.{setting}"
        yield CheckResult.warning(
            "ldap-difference", in_settings(key), f"`{key}`: {effect}", f"{instead}; see docs/ldap.md"
        )
    name, where = f"the directory `{provider.name}`", in_settings(f"providers.{provider.name}.config.server_address")
    remedy = "check its address, certificate and firewall"
    deadline = LoginDeadline(provider.deadline_seconds)
    try:
        with LdapConnection(build_server_pool(traits), deadline) as connection:
            if (yield from _check_lookup_account(provider, traits, connection)) and traits.lookup_dn:
                yield from _check_users(provider, traits, connection)
                yield from _check_groups(provider, traits, connection)
                yield from _check_rule_groups(provider, traits, connection, installation)
    except DirectoryError as error:
        yield CheckResult.error("ldap", where, f"{name} does not respond correctly: {error}", remedy)
    except OSError as error:
        yield CheckResult.error("ldap", where, f"{name}: {error.strerror or type(error).__name__}", remedy)
    finally:
        deadline.cancel()


def _check_lookup_account(
    provider: ProviderSettings, traits: LdapConfig, connection: LdapConnection
) -> Generator[CheckResult, None, bool]:
    """Sign in as the service does, and return whether that worked."""
    from aizen_hub.hub.login.ldap.config import read_lookup_password
    from aizen_hub.hub.login.ldap.connection import DirectoryError

    name, account = f"the directory `{provider.name}`", traits.lookup_dn_search_user if traits.lookup_dn else ""
    if account and not connection.bind(account, read_lookup_password(traits)):
        yield CheckResult.error(
            "ldap-account",
            in_settings(f"providers.{provider.name}.config.lookup_dn_search_user"),
            f"{name} rejects the lookup account or its password",
            "correct lookup_dn_search_user, and the password in the file lookup_dn_search_password_file",
        )
        return False
    if traits.lookup_dn and not account:
        try:
            connection.bind_anonymously()
        except DirectoryError as error:
            yield CheckResult.error(
                "ldap-account",
                in_settings(f"providers.{provider.name}.config.lookup_dn_search_user"),
                f"{name}: {error}",
                "set lookup_dn_search_user and lookup_dn_search_password_file",
            )
            return False
    yield CheckResult.passed("ldap", f"{name} responds" + (" and accepts the lookup account" if account else ""))
    return True


def _check_users(provider: ProviderSettings, traits: LdapConfig, connection: LdapConnection) -> Iterator[CheckResult]:
    base, prefix = traits.user_search_base, f"providers.{provider.name}.config"
    if connection.read(base, ["1.1"]) is None:
        yield CheckResult.error(
            "ldap-user-base",
            in_settings(f"{prefix}.user_search_base"),
            f"the directory `{provider.name}` has no entry `{base}`, or its lookup account may not read it",
            "correct user_search_base, or let the lookup account read it",
        )
        return
    attributes = [
        ("user_attribute", traits.user_attribute, "no user can sign in"),
        ("subject_attribute", traits.subject_attribute, "no user can sign in"),
        (
            "lookup_dn_user_dn_attribute",
            traits.lookup_dn_user_dn_attribute if traits.use_lookup_dn_username else "",
            "no user can sign in",
        ),
    ]
    for key, attribute, effect in attributes:
        if attribute and not connection.search(base, f"({attribute}=*)", ["1.1"], limit=1):
            yield CheckResult.error(
                "ldap-attribute",
                in_settings(f"{prefix}.{key}"),
                f"no entry under `{base}` has the attribute `{attribute}`: {effect}",
                f"correct {key} (uid, or sAMAccountName in Active Directory), or let the lookup account read it",
            )


def _check_groups(provider: ProviderSettings, traits: LdapConfig, connection: LdapConnection) -> Iterator[CheckResult]:
    prefix, base = f"providers.{provider.name}.config", traits.group_search_base
    for group in traits.allowed_groups or ():
        if connection.read(group, ["1.1"]) is None:
            yield CheckResult.error(
                "ldap-allowed-group",
                in_settings(f"{prefix}.allowed_groups"),
                f"the directory `{provider.name}` has no group `{group}`: its members cannot sign in",
                "correct allowed_groups, or let the lookup account read the group",
            )
    if not base:
        if not connection.search(traits.user_search_base, "(memberOf=*)", ["1.1"], limit=1):
            yield CheckResult.warning(
                "ldap-groups",
                in_settings(f"{prefix}.group_search_base"),
                f"the directory `{provider.name}`: mapping rules and groups of it cannot work: no entry under "
                f"`{traits.user_search_base}` has the attribute `memberOf` (or the lookup account may not read it)",
                "set group_search_base to where its groups are; see docs/ldap.md",
            )
        return
    if connection.read(base, ["1.1"]) is None:
        yield CheckResult.error(
            "ldap-group-base",
            in_settings(f"{prefix}.group_search_base"),
            f"the directory `{provider.name}` has no entry `{base}`: mapping rules and groups of it cannot work",
            "correct group_search_base, or let the lookup account read it",
        )
        return
    any_member = _match_any_member(traits.group_search_filter)
    if not connection.search(base, any_member, ["1.1"], limit=1):
        yield CheckResult.error(
            "ldap-group-filter",
            in_settings(f"{prefix}.group_search_filter"),
            f"no group under `{base}` matches `{any_member}`: mapping rules and groups of it cannot work",
            "correct group_search_filter: (member={userdn}), or (memberUid={uid}) for posixGroup",
        )


def _match_any_member(group_search_filter: str) -> str:
    """Return the filter with a presence test in place of a user, which no matching rule of the directory knows."""
    plain = re.sub(r"(\w):[\w.:]+:=", r"\1=", group_search_filter)
    return plain.replace("{userdn}", "*").replace("{uid}", "*")


def _check_rule_groups(
    provider: ProviderSettings, traits: LdapConfig, connection: LdapConnection, installation: Installation
) -> Iterator[CheckResult]:
    """Check that the groups that mapping rules name exist; where groups are read from `memberOf` that is unknown."""
    from aizen_hub.validation.distinguished_name import escape_filter

    base = traits.group_search_base
    if not base or traits.group_names != "cn" or connection.read(base, ["1.1"]) is None:
        return
    for group in _list_rule_groups(installation, provider.name):
        if not connection.search(base, f"(cn={escape_filter(group)})", ["1.1"], limit=1):
            yield CheckResult.warning(
                "ldap-rule-group",
                f"mapping rule of {provider.name}",
                f"a mapping rule names the group `{group}`, which the directory does not have under `{base}`",
                "correct the rule, see aizen-hub mapping list; or create the group in the directory",
            )


def _list_rule_groups(installation: Installation, provider: str) -> list[str]:
    """Return the groups that mapping rules name in full; empty if the database cannot be read, which is reported."""
    from sqlalchemy import select
    from sqlalchemy.exc import SQLAlchemyError

    from aizen_hub.store import tables
    from aizen_hub.store.database import Database

    if installation.is_new:
        return []
    rules = tables.mapping_rules.c
    try:
        database = Database(installation.settings.database_url, read_only=True)
        try:
            with database.engine.connect() as conn:
                names = conn.scalars(select(rules.group).where(rules.provider == provider).distinct()).all()
        finally:
            database.dispose()
    except (SQLAlchemyError, ConfigurationError):
        return []
    return sorted(name for name in names if "{" not in name)
