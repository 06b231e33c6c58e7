"""Login with a real Active Directory domain controller (Samba) over LDAPS and StartTLS."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import ldap3
import pytest

from aizen_hub.hub.login.ldap.provider import LdapProvider
from aizen_hub.hub.login.provider import (
    AccessDeniedError,
    AuthenticatedIdentity,
    ProviderUnreachableError,
    WrongCredentialsError,
)
from aizen_hub.settings import ProviderSettings
from tests.fixtures.identity.samba import GROUPS_DN, REALM, SUFFIX, DomainController, running_samba, user_dn

pytestmark = [pytest.mark.needs("samba"), pytest.mark.slow]

MATCHING_RULE = "(member:1.2.840.113556.1.4.1941:={userdn})"
START_TLS = {"server_port": 389, "tls_strategy": "before_bind"}
Make = Callable[..., LdapProvider]


@pytest.fixture(scope="module")
def domain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DomainController]:
    with running_samba(tmp_path_factory.mktemp("samba")) as running:
        yield running


@pytest.fixture
def ad(domain: DomainController) -> Iterator[Make]:
    providers: list[LdapProvider] = []

    def make(**config: Any) -> LdapProvider:
        settings = domain.settings(**config)
        # A domain controller that shares two cores with other tests is slow.
        providers.append(LdapProvider(ProviderSettings(name="ad", kind="ldap", config=settings, deadline_seconds=20)))
        return providers[-1]

    yield make
    for provider in providers:
        provider.close()


async def authenticate(
    provider: LdapProvider, domain: DomainController, name: str, password: str | None = None
) -> AuthenticatedIdentity:
    entered = domain.passwords[name.partition("@")[0].lower()] if password is None else password
    return await provider.authenticate(name, entered, totp=None, source=None)


@pytest.mark.proves("R13", "R22")
@pytest.mark.parametrize("tls", [{}, START_TLS], ids=["ldaps", "starttls"])
async def test_login_by_account_name(ad: Make, domain: DomainController, tls: dict[str, Any]) -> None:
    identity = await authenticate(ad(**tls), domain, "anna")
    assert (identity.name, identity.display_name, identity.email) == ("anna", "Anna Ärmel", "anna@example.org")
    with domain.admin() as connection:
        connection.search(user_dn("anna"), "(objectClass=*)", ldap3.BASE, attributes=["objectGUID"])
        guid = connection.response[0]["raw_attributes"]["objectGUID"][0]
    assert identity.subject == str(uuid.UUID(bytes_le=guid))


async def test_login_by_principal_name(ad: Make, domain: DomainController) -> None:
    by_account = await authenticate(ad(), domain, "anna")
    provider = ad(user_attribute="userPrincipalName")
    by_principal = await authenticate(provider, domain, f"anna@{REALM.lower()}")
    assert by_principal.subject == by_account.subject
    assert by_principal.name == f"anna@{REALM.lower()}", "the service derives the short name"
    both = ad(lookup_dn_search_filter="(|(sAMAccountName={login})(userPrincipalName={login}))")
    for name in ("anna", f"Anna@{REALM}"):
        assert (await authenticate(both, domain, name)).subject == by_account.subject


@pytest.mark.proves("R19")
async def test_nested_groups_by_the_matching_rule_of_the_directory(ad: Make, domain: DomainController) -> None:
    provider = ad(group_search_base=GROUPS_DN, group_search_filter=MATCHING_RULE)
    assert set((await authenticate(provider, domain, "anna")).groups or ()) == {"team", "division", "company"}
    assert set((await authenticate(provider, domain, "bert")).groups or ()) == {"others"}


@pytest.mark.parametrize(
    ("depth", "groups"), [(0, {"team"}), (1, {"team", "division"}), (5, {"team", "division", "company"})]
)
async def test_nested_groups_by_repeated_search(
    ad: Make, domain: DomainController, depth: int, groups: set[str]
) -> None:
    provider = ad(group_search_base=GROUPS_DN, group_search_filter="(member={userdn})", nested_group_depth=depth)
    assert set((await authenticate(provider, domain, "anna")).groups or ()) == groups


async def test_allowed_groups_count_through_nesting(ad: Make, domain: DomainController) -> None:
    provider = ad(
        group_search_base=GROUPS_DN,
        group_search_filter=MATCHING_RULE,
        allowed_groups=[f"cn=Company,{GROUPS_DN.lower()}"],
    )
    assert (await authenticate(provider, domain, "anna")).name == "anna"
    with pytest.raises(AccessDeniedError):
        await authenticate(provider, domain, "bert")


@pytest.mark.proves("R18")
@pytest.mark.parametrize("name", ["dora", "emil"], ids=["disabled", "expired"])
async def test_a_disabled_account_is_denied_even_with_the_right_password(
    ad: Make, domain: DomainController, name: str
) -> None:
    with pytest.raises((WrongCredentialsError, AccessDeniedError)):
        await authenticate(ad(), domain, name)


@pytest.mark.proves("R18", "R129")
@pytest.mark.parametrize("change", [{"userAccountControl": 514}, {"accountExpires": 132539328000000000}])
async def test_a_signed_in_user_is_gone_once_the_account_is_disabled(
    ad: Make, domain: DomainController, change: dict[str, Any]
) -> None:
    provider = ad(group_search_base=GROUPS_DN, group_search_filter=MATCHING_RULE)
    identity = await authenticate(provider, domain, "bert")
    refreshed = await provider.refresh(identity.subject, identity.name)
    assert refreshed is not None
    assert set(refreshed.groups or ()) == {"others"}
    domain.modify(user_dn("bert"), **change)
    try:
        assert await provider.refresh(identity.subject, identity.name) is None
        with pytest.raises((WrongCredentialsError, AccessDeniedError)):
            await authenticate(provider, domain, "bert")
    finally:
        domain.modify(user_dn("bert"), userAccountControl=512, accountExpires=0)
    assert (await authenticate(provider, domain, "bert")).subject == identity.subject


@pytest.mark.parametrize(
    ("name", "password"),
    [
        ("anna", "wrong"),
        ("unknown", "wrong"),
        ("anna", ""),
        ("anna", "\0"),
        ("*", None),
        ("anna)(cn=*", None),
        ("", None),
    ],
)
@pytest.mark.proves("R9", "R12", "T-17", "T-18")
async def test_wrong_is_wrong(ad: Make, domain: DomainController, name: str, password: str | None) -> None:
    with pytest.raises(WrongCredentialsError):
        await authenticate(ad(), domain, name, domain.passwords["anna"] if password is None else password)


@pytest.mark.proves("R13", "T-22")
@pytest.mark.parametrize("tls", [{}, START_TLS], ids=["ldaps", "starttls"])
async def test_another_authority_is_not_trusted(
    ad: Make, domain: DomainController, tmp_path: Path, tls: dict[str, Any]
) -> None:
    from tests.fixtures.identity.samba import create_certificate

    other = create_certificate(tmp_path / "other", domain.address)
    with pytest.raises(ProviderUnreachableError):
        await authenticate(ad(tls_kwargs={"ca_certs_file": str(other)}, **tls), domain, "anna")


async def test_a_bind_without_tls_is_refused_by_the_directory(domain: DomainController) -> None:
    config = domain.settings(server_port=389, tls_strategy="insecure", tls_kwargs={})
    provider = LdapProvider(
        ProviderSettings(name="ad", kind="ldap", config=config, deadline_seconds=20, insecure_tls=True)
    )
    with pytest.raises(ProviderUnreachableError):
        await provider.authenticate("anna", domain.passwords["anna"], totp=None, source=None)
    provider.close()


@pytest.mark.proves("R16")
async def test_a_search_of_the_whole_domain_follows_no_references(ad: Make, domain: DomainController) -> None:
    """A search at the root of a domain controller returns references to its other partitions."""
    from aizen_hub.hub.login.ldap.connection import REFERRALS

    before = REFERRALS._value.get()
    assert (await authenticate(ad(user_search_base=SUFFIX), domain, "anna")).name == "anna"
    assert REFERRALS._value.get() > before
