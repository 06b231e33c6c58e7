"""Settings of one LDAP provider: the traits of ldapauthenticator, and additional ones."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ldapauthenticator.ldapauthenticator import LDAPAuthenticator, TlsStrategy
from traitlets import Float, Int, List, TraitError, Unicode
from traitlets.config import Config

from aizen_hub.hub.login.ldap.server_pool import ServerPool
from aizen_hub.settings import ConfigurationError, ProviderSettings
from aizen_hub.validation.distinguished_name import Dn, DnError


class LdapConfig(LDAPAuthenticator):
    """Settings and their types; the inherited network methods are not used, see `LdapProvider`."""

    server_addresses = List(
        Unicode(),
        config=True,
        help="""
        Other servers of the same directory, tried in this order where `server_address` does not respond.

        Example: `["ldap2.example.org", "ldap3.example.org"]`
        """,
    )
    connect_seconds = Float(
        2.0,
        config=True,
        help="""Seconds to wait for a connection to one server; `deadline_seconds` of the provider bounds all.""",
    )
    page_size = Int(
        500,
        min=1,
        max=1000,
        config=True,
        help="""
        Entries for each page of a group search (RFC 2696). Reduce it for a server with a smaller limit.
        """,
    )
    lookup_dn_search_password_file = Unicode(
        config=True,
        help="""
        File with the password of `lookup_dn_search_user`, so that no configuration file contains it.

        Example: `/run/secrets/ldap-lookup`
        """,
    )
    subject_attribute = Unicode(
        config=True,
        help="""
        Attribute with the immutable id, which is never reused. Detected in OpenLDAP (`entryUUID`), Active Directory
        (`objectGUID`), 389 and FreeIPA. Warning: after a change no registered user is recognised any more.
        """,
    )
    group_search_base = Unicode(
        config=True,
        help="""
        Base of the search for groups with `group_search_filter`; without it groups are read from `memberOf`, which a
        directory such as OpenLDAP without its overlay does not have: then no group of a mapping rule is ever found.

        Example: `ou=groups,dc=example,dc=org`
        """,
    )
    nested_group_depth = Int(
        0,
        min=0,
        max=16,
        config=True,
        help="""
        How many levels of nested groups are resolved (needs `group_search_base`); 0 for direct membership only.
        Active Directory resolves them itself with `group_search_filter = "(member:1.2.840.113556.1.4.1941:={userdn})"`.
        """,
    )
    group_names = Unicode(
        "cn",
        config=True,
        help="""
        `cn`: a group is named by the first value of its name, e.g. `fraud-team`; two groups with the same name are
        both ignored. `dn`: by its distinguished name.
        """,
    )
    display_name_attribute = Unicode("displayName", config=True, help="""Attribute with the display name.""")
    mail_attribute = Unicode("mail", config=True, help="""Attribute with the e-mail address, for notifications only.""")


SUPPORTED_KEYS = frozenset(
    {
        "server_address", "server_port", "tls_strategy", "tls_kwargs", "bind_dn_template", "allowed_groups",
        "group_search_filter", "group_attributes", "valid_username_regex", "lookup_dn", "user_search_base",
        "user_attribute", "lookup_dn_search_filter", "lookup_dn_search_user", "lookup_dn_search_password",
        "lookup_dn_user_dn_attribute", "use_lookup_dn_username", "search_filter", "attributes",
        "auth_state_attributes", "allowed_users", "blocked_users",
        *(name for name, value in vars(LdapConfig).items() if hasattr(value, "metadata")),
    }
)  # fmt: skip


def read_ldap_config(provider: ProviderSettings, base_dir: Path = Path()) -> LdapConfig:
    """Check the settings of a provider of kind ``ldap``.

    Raises
    ------
    ConfigurationError
        An unknown or ineffective key, a value of the wrong type, an empty allow-list, unverified TLS without its flag;
        names the key and the fix (R1, R4, R6).
    """
    prefix = f"`providers.{provider.name}.config"
    values = dict(provider.config)
    known_keys = LdapConfig.class_trait_names(config=True)
    for key in sorted(values):
        if key not in known_keys:
            raise ConfigurationError(f"{prefix}.{key}`: LDAPAuthenticator has no such trait: check its spelling")
        if key == "use_ssl":
            raise ConfigurationError(f"{prefix}.use_ssl`: write `tls_strategy: on_connect` instead")
        if key not in SUPPORTED_KEYS:
            raise ConfigurationError(f"{prefix}.{key}`: has no effect here: remove it")
    for key in ("allowed_groups", "allowed_users"):
        if key in values and not values[key]:
            raise ConfigurationError(
                f"{prefix}.{key}` is empty, so no user could sign in: add an entry, or remove the key for no "
                "restriction"
            )
    if file := values.get("lookup_dn_search_password_file"):
        values["lookup_dn_search_password_file"] = str(base_dir / str(file))
    values["tls_kwargs"] = _check_tls(values.get("tls_kwargs") or {}, prefix, base_dir)
    if isinstance(values.get("allowed_users"), list):
        values["allowed_users"] = set(values["allowed_users"])
    if isinstance(values.get("blocked_users"), list):
        values["blocked_users"] = set(values["blocked_users"])
    try:
        traits = LdapConfig(config=Config({"LdapConfig": values}))
    except (TraitError, ValueError) as error:
        raise ConfigurationError(f"{prefix}`: {error}") from None
    _check_settings(traits, provider, prefix)
    return traits


def build_server_pool(traits: LdapConfig) -> ServerPool:
    """Return the servers of the directory."""
    return ServerPool(
        addresses=tuple(address for address in (traits.server_address, *traits.server_addresses) if address),
        port=traits.server_port,
        tls_mode=traits.tls_strategy.name,
        tls_options=dict(traits.tls_kwargs),
        connect_seconds=traits.connect_seconds,
        page_size=traits.page_size,
    )


def read_lookup_password(traits: LdapConfig) -> str:
    """Return the password of the lookup account; read each time, so that it can be changed without a restart."""
    path = traits.lookup_dn_search_password_file
    return Path(path).read_text(encoding="utf-8").rstrip("\r\n") if path else traits.lookup_dn_search_password or ""


def _check_tls(values: Mapping[str, Any], prefix: str, base_dir: Path) -> dict[str, Any]:
    options = dict(values)
    validate = options.get("validate", ssl.CERT_REQUIRED)
    if isinstance(validate, str):
        try:
            validate = ssl.VerifyMode[validate]
        except KeyError:
            raise ConfigurationError(
                f"{prefix}.tls_kwargs.validate`: `{validate}` is not one of {', '.join(ssl.VerifyMode.__members__)}"
            ) from None
    options["validate"] = ssl.VerifyMode(validate)
    if options.get("ca_certs_file"):
        path = base_dir / options["ca_certs_file"]
        if not path.is_file():
            raise ConfigurationError(f"{prefix}.tls_kwargs.ca_certs_file`: there is no file `{path}`")
        options["ca_certs_file"] = str(path)
    return options


def _check_settings(traits: LdapConfig, provider: ProviderSettings, prefix: str) -> None:
    if not traits.server_address:
        raise ConfigurationError(f"{prefix}.server_address`: name the directory server, e.g. `ldap.example.org`")
    is_verified = traits.tls_strategy is not TlsStrategy.insecure and traits.tls_kwargs["validate"] is ssl.CERT_REQUIRED
    names = traits.tls_kwargs.get("valid_names") or ()
    if "*" in ([names] if isinstance(names, str) else names):
        is_verified = False
    if not is_verified and not provider.insecure_tls:
        raise ConfigurationError(
            f"{prefix}`: the server's certificate would not be verified, so passwords could be read on the network: "
            f"use `tls_strategy: before_bind` with the CA in `tls_kwargs.ca_certs_file`, or accept the risk with "
            f"`providers.{provider.name}.insecure_tls: true`"
        )
    if bool(traits.lookup_dn) == bool(traits.bind_dn_template):
        raise ConfigurationError(
            f"{prefix}`: set either `lookup_dn: true`, `user_search_base` and `user_attribute`, or `bind_dn_template`"
        )
    for template in traits.bind_dn_template:
        _check_template(template, prefix)
    required_keys = ("user_search_base", "user_attribute") if traits.lookup_dn or traits.search_filter else ()
    for key in required_keys:
        if not getattr(traits, key):
            raise ConfigurationError(f"{prefix}.{key}`: is needed here")
    if traits.lookup_dn_search_user and not has_lookup_password(traits):
        raise ConfigurationError(
            f"{prefix}.lookup_dn_search_password_file`: `lookup_dn_search_user` needs a password; without one the "
            "directory would bind anonymously"
        )
    if traits.nested_group_depth and not traits.group_search_base:
        raise ConfigurationError(f"{prefix}.group_search_base`: is needed to follow nested groups")
    if traits.group_names not in ("cn", "dn"):
        raise ConfigurationError(f"{prefix}.group_names`: `{traits.group_names}` is neither `cn` nor `dn`")
    for key in ("allowed_groups", "group_search_base", "user_search_base"):
        value = getattr(traits, key) or ()
        for dn in [value] if isinstance(value, str) else value:
            try:
                Dn.parse(dn)
            except DnError as error:
                raise ConfigurationError(f"{prefix}.{key}`: `{dn}` is not a distinguished name: {error}") from None


def _check_template(template: str, prefix: str) -> None:
    if "{username}" not in template:
        raise ConfigurationError(f"{prefix}.bind_dn_template`: `{template}` has no `{{username}}`")
    try:
        Dn.parse(template.replace("{username}", "x"))
    except DnError as error:
        raise ConfigurationError(
            f"{prefix}.bind_dn_template`: `{template}` is not a distinguished name ({error}); use `lookup_dn: true`"
        ) from None


def has_lookup_password(traits: LdapConfig) -> bool:
    path = traits.lookup_dn_search_password_file
    if path and not Path(path).is_file():
        return False
    return bool(read_lookup_password(traits))
