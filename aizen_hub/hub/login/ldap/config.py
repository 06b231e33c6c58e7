"""The settings of one LDAP provider: the traits of ldapauthenticator unchanged, and what it lacks."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ldapauthenticator.ldapauthenticator import LDAPAuthenticator, TlsStrategy
from traitlets import Float, Int, List, TraitError, Unicode
from traitlets.config import Config

from aizen_hub.hub.login.ldap.server_pool import Place
from aizen_hub.settings import ConfigurationError, ProviderSettings
from aizen_hub.validation.distinguished_name import Dn, DnError


class LdapConfig(LDAPAuthenticator):
    """Holds and checks the settings; its inherited network methods are not used, see `LdapProvider`."""

    server_addresses = List(
        Unicode(),
        config=True,
        help="""
        Further servers that hold the same directory, asked in this order where `server_address` does not answer.

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
        Entries that a search for groups asks for at once (RFC 2696). Make it smaller for a server that gives fewer.
        """,
    )
    lookup_dn_search_password_file = Unicode(
        config=True,
        help="""
        File with the password of `lookup_dn_search_user`, so that it stands in no configuration file.

        Example: `/run/secrets/ldap-lookup`
        """,
    )
    subject_attribute = Unicode(
        config=True,
        help="""
        Attribute with the id that never changes and is never given twice. Found by itself in OpenLDAP (`entryUUID`),
        Active Directory (`objectGUID`), 389 and FreeIPA. Warning: changing it later makes everybody a stranger.
        """,
    )
    group_search_base = Unicode(
        config=True,
        help="""
        Where groups are looked for with `group_search_filter`; without it they are read from `memberOf`.

        Example: `ou=groups,dc=example,dc=org`
        """,
    )
    nested_group_depth = Int(
        0,
        min=0,
        max=16,
        config=True,
        help="""
        How many times the groups of a group are followed (needs `group_search_base`); 0 for direct membership only.
        Active Directory follows by itself with `group_search_filter = "(member:1.2.840.113556.1.4.1941:={userdn})"`.
        """,
    )
    group_names = Unicode(
        "cn",
        config=True,
        help="""
        `cn`: a group is known by the first value of its name, e.g. `fraud-team`; of two groups with one such name
        neither counts. `dn`: by its whole distinguished name.
        """,
    )
    display_name_attribute = Unicode("displayName", config=True, help="""Attribute with the name to show.""")
    mail_attribute = Unicode("mail", config=True, help="""Attribute with the mail address, for notices only.""")


HONOURED = frozenset(
    {
        "server_address", "server_port", "tls_strategy", "tls_kwargs", "bind_dn_template", "allowed_groups",
        "group_search_filter", "group_attributes", "valid_username_regex", "lookup_dn", "user_search_base",
        "user_attribute", "lookup_dn_search_filter", "lookup_dn_search_user", "lookup_dn_search_password",
        "lookup_dn_user_dn_attribute", "use_lookup_dn_username", "search_filter", "attributes",
        "auth_state_attributes", "allowed_users", "blocked_users",
        *(name for name, value in vars(LdapConfig).items() if hasattr(value, "metadata")),
    }
)  # fmt: skip


def read_ldap_config(provider: ProviderSettings, folder: Path = Path()) -> LdapConfig:
    """Check the settings of a provider of kind ``ldap``.

    Raises
    ------
    ConfigurationError
        An unknown or ineffective key, a value of the wrong type, an empty allow-list, unverified TLS without its flag;
        names the key and the fix (R1, R4, R6).
    """
    where = f"`providers.{provider.name}.config"
    given = dict(provider.config)
    known = LdapConfig.class_trait_names(config=True)
    for key in sorted(given):
        if key not in known:
            raise ConfigurationError(f"{where}.{key}`: LDAPAuthenticator has no such trait: check its spelling")
        if key not in HONOURED:
            raise ConfigurationError(f"{where}.{key}`: has no effect here: remove it")
    for key in ("allowed_groups", "allowed_users"):
        if key in given and not given[key]:
            raise ConfigurationError(
                f"{where}.{key}` is empty, so nobody could sign in: list somebody, or remove the key for no restriction"
            )
    if file := given.get("lookup_dn_search_password_file"):
        given["lookup_dn_search_password_file"] = str(folder / str(file))
    given["tls_kwargs"] = _tls(given.get("tls_kwargs") or {}, where, folder)
    if isinstance(given.get("allowed_users"), list):
        given["allowed_users"] = set(given["allowed_users"])
    if isinstance(given.get("blocked_users"), list):
        given["blocked_users"] = set(given["blocked_users"])
    try:
        traits = LdapConfig(config=Config({"LdapConfig": given}))
    except (TraitError, ValueError) as error:
        raise ConfigurationError(f"{where}`: {error}") from None
    _complete(traits, provider, where)
    return traits


def place_of(traits: LdapConfig) -> Place:
    """Return where the directory is."""
    return Place(
        addresses=tuple(one for one in (traits.server_address, *traits.server_addresses) if one),
        port=traits.server_port,
        mode=traits.tls_strategy.name,
        tls=dict(traits.tls_kwargs),
        connect_seconds=traits.connect_seconds,
        page_size=traits.page_size,
    )


def lookup_password(traits: LdapConfig) -> str:
    """Return the password of the lookup account, read anew so that it can be changed without a restart."""
    path = traits.lookup_dn_search_password_file
    return Path(path).read_text(encoding="utf-8").rstrip("\r\n") if path else traits.lookup_dn_search_password or ""


def _tls(given: Mapping[str, Any], where: str, folder: Path) -> dict[str, Any]:
    out = dict(given)
    validate = out.get("validate", ssl.CERT_REQUIRED)
    if isinstance(validate, str):
        try:
            validate = ssl.VerifyMode[validate]
        except KeyError:
            raise ConfigurationError(
                f"{where}.tls_kwargs.validate`: `{validate}` is none of {', '.join(ssl.VerifyMode.__members__)}"
            ) from None
    out["validate"] = ssl.VerifyMode(validate)
    if out.get("ca_certs_file"):
        path = folder / out["ca_certs_file"]
        if not path.is_file():
            raise ConfigurationError(f"{where}.tls_kwargs.ca_certs_file`: there is no file `{path}`")
        out["ca_certs_file"] = str(path)
    return out


def _complete(traits: LdapConfig, provider: ProviderSettings, where: str) -> None:
    if not traits.server_address:
        raise ConfigurationError(f"{where}.server_address`: name the directory server, e.g. `ldap.example.org`")
    verified = traits.tls_strategy is not TlsStrategy.insecure and traits.tls_kwargs["validate"] is ssl.CERT_REQUIRED
    names = traits.tls_kwargs.get("valid_names") or ()
    if "*" in ([names] if isinstance(names, str) else names):
        verified = False
    if not verified and not provider.insecure_tls:
        raise ConfigurationError(
            f"{where}`: the server's certificate would not be verified, so others on the network could read passwords: "
            f"use `tls_strategy: before_bind` with the CA in `tls_kwargs.ca_certs_file`, or accept the risk with "
            f"`providers.{provider.name}.insecure_tls: true`"
        )
    if bool(traits.lookup_dn) == bool(traits.bind_dn_template):
        raise ConfigurationError(
            f"{where}`: set either `lookup_dn: true`, `user_search_base` and `user_attribute`, or `bind_dn_template`"
        )
    for template in traits.bind_dn_template:
        _check_template(template, where)
    needed = ("user_search_base", "user_attribute") if traits.lookup_dn or traits.search_filter else ()
    for key in needed:
        if not getattr(traits, key):
            raise ConfigurationError(f"{where}.{key}`: is needed here")
    if traits.lookup_dn_search_user and not lookup_password_given(traits):
        raise ConfigurationError(
            f"{where}.lookup_dn_search_password_file`: `lookup_dn_search_user` needs a password; without one the "
            "directory would take it for nobody"
        )
    if traits.nested_group_depth and not traits.group_search_base:
        raise ConfigurationError(f"{where}.group_search_base`: is needed to follow nested groups")
    if traits.group_names not in ("cn", "dn"):
        raise ConfigurationError(f"{where}.group_names`: `{traits.group_names}` is neither `cn` nor `dn`")
    for key in ("allowed_groups", "group_search_base", "user_search_base"):
        value = getattr(traits, key) or ()
        for dn in [value] if isinstance(value, str) else value:
            try:
                Dn.parse(dn)
            except DnError as error:
                raise ConfigurationError(f"{where}.{key}`: `{dn}` is not a distinguished name: {error}") from None


def _check_template(template: str, where: str) -> None:
    if "{username}" not in template:
        raise ConfigurationError(f"{where}.bind_dn_template`: `{template}` has no `{{username}}`")
    try:
        Dn.parse(template.replace("{username}", "x"))
    except DnError as error:
        raise ConfigurationError(
            f"{where}.bind_dn_template`: `{template}` is not a distinguished name ({error}); use `lookup_dn: true`"
        ) from None


def lookup_password_given(traits: LdapConfig) -> bool:
    path = traits.lookup_dn_search_password_file
    if path and not Path(path).is_file():
        return False
    return bool(lookup_password(traits))
