"""Sign-in by a real Active Directory domain controller (Samba) over LDAPS and StartTLS."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import ldap3
import pytest

from aizen_hub.hub.login.ldap.provider import LdapProvider
from aizen_hub.hub.login.provider import NotLetIn, Proof, ProviderUnreachable, WrongCredentials
from aizen_hub.settings import ProviderSettings
from tests.fixtures.samba import GROUPS, REALM, SUFFIX, DomainController, person, running_samba

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
    made: list[LdapProvider] = []

    def make(**config: Any) -> LdapProvider:
        settings = domain.settings(**config)
        # A domain controller that shares two cores with other tests takes its time.
        made.append(LdapProvider(ProviderSettings(name="ad", kind="ldap", config=settings, deadline_seconds=20)))
        return made[-1]

    yield make
    for one in made:
        one.close()


async def prove(provider: LdapProvider, domain: DomainController, name: str, password: str | None = None) -> Proof:
    known = domain.passwords[name.partition("@")[0].lower()] if password is None else password
    return await provider.prove(name, known, totp=None, source=None)


@pytest.mark.proves("R13", "R22")
@pytest.mark.parametrize("tls", [{}, START_TLS], ids=["ldaps", "starttls"])
async def test_a_person_signs_in_by_the_account_name(ad: Make, domain: DomainController, tls: dict[str, Any]) -> None:
    proof = await prove(ad(**tls), domain, "anna")
    assert (proof.name, proof.display_name, proof.email) == ("anna", "Anna Ärmel", "anna@example.org")
    with domain.admin() as connection:
        connection.search(person("anna"), "(objectClass=*)", ldap3.BASE, attributes=["objectGUID"])
        guid = connection.response[0]["raw_attributes"]["objectGUID"][0]
    assert proof.subject == str(uuid.UUID(bytes_le=guid))


async def test_a_person_signs_in_by_the_principal_name(ad: Make, domain: DomainController) -> None:
    by_account = await prove(ad(), domain, "anna")
    provider = ad(user_attribute="userPrincipalName")
    by_principal = await prove(provider, domain, f"anna@{REALM.lower()}")
    assert by_principal.subject == by_account.subject
    assert by_principal.name == f"anna@{REALM.lower()}", "its short name is made where registrations are looked up"
    both = ad(lookup_dn_search_filter="(|(sAMAccountName={login})(userPrincipalName={login}))")
    for name in ("anna", f"Anna@{REALM}"):
        assert (await prove(both, domain, name)).subject == by_account.subject


@pytest.mark.proves("R19")
async def test_nested_groups_by_the_matching_rule_of_the_directory(ad: Make, domain: DomainController) -> None:
    provider = ad(group_search_base=GROUPS, group_search_filter=MATCHING_RULE)
    assert set((await prove(provider, domain, "anna")).groups or ()) == {"team", "division", "company"}
    assert set((await prove(provider, domain, "bert")).groups or ()) == {"others"}


@pytest.mark.parametrize(
    ("depth", "groups"), [(0, {"team"}), (1, {"team", "division"}), (5, {"team", "division", "company"})]
)
async def test_nested_groups_by_following_them(
    ad: Make, domain: DomainController, depth: int, groups: set[str]
) -> None:
    provider = ad(group_search_base=GROUPS, group_search_filter="(member={userdn})", nested_group_depth=depth)
    assert set((await prove(provider, domain, "anna")).groups or ()) == groups


async def test_allowed_groups_count_through_nesting(ad: Make, domain: DomainController) -> None:
    provider = ad(
        group_search_base=GROUPS, group_search_filter=MATCHING_RULE, allowed_groups=[f"cn=Company,{GROUPS.lower()}"]
    )
    assert (await prove(provider, domain, "anna")).name == "anna"
    with pytest.raises(NotLetIn):
        await prove(provider, domain, "bert")


@pytest.mark.proves("R18")
@pytest.mark.parametrize("name", ["dora", "emil"], ids=["disabled", "expired"])
async def test_an_account_that_is_shut_stays_out_though_its_password_is_right(
    ad: Make, domain: DomainController, name: str
) -> None:
    with pytest.raises((WrongCredentials, NotLetIn)):
        await prove(ad(), domain, name)


@pytest.mark.proves("R18", "R129")
@pytest.mark.parametrize("change", [{"userAccountControl": 514}, {"accountExpires": 132539328000000000}])
async def test_somebody_who_is_in_is_nobody_once_the_account_is_shut(
    ad: Make, domain: DomainController, change: dict[str, Any]
) -> None:
    provider = ad(group_search_base=GROUPS, group_search_filter=MATCHING_RULE)
    proof = await prove(provider, domain, "bert")
    found = await provider.look_up(proof.subject, proof.name)
    assert found is not None
    assert set(found.groups or ()) == {"others"}
    domain.modify(person("bert"), **change)
    try:
        assert await provider.look_up(proof.subject, proof.name) is None
        with pytest.raises((WrongCredentials, NotLetIn)):
            await prove(provider, domain, "bert")
    finally:
        domain.modify(person("bert"), userAccountControl=512, accountExpires=0)
    assert (await prove(provider, domain, "bert")).subject == proof.subject


@pytest.mark.parametrize(
    ("name", "password"),
    [
        ("anna", "wrong"),
        ("nobody", "wrong"),
        ("anna", ""),
        ("anna", "\0"),
        ("*", None),
        ("anna)(cn=*", None),
        ("", None),
    ],
)
@pytest.mark.proves("R9", "R12", "T-17", "T-18")
async def test_wrong_is_wrong(ad: Make, domain: DomainController, name: str, password: str | None) -> None:
    with pytest.raises(WrongCredentials):
        await prove(ad(), domain, name, domain.passwords["anna"] if password is None else password)


@pytest.mark.proves("R13", "T-22")
@pytest.mark.parametrize("tls", [{}, START_TLS], ids=["ldaps", "starttls"])
async def test_another_authority_is_not_trusted(
    ad: Make, domain: DomainController, tmp_path: Path, tls: dict[str, Any]
) -> None:
    from tests.fixtures.samba import _certificate

    other = _certificate(tmp_path / "other", domain.address)
    with pytest.raises(ProviderUnreachable):
        await prove(ad(tls_kwargs={"ca_certs_file": str(other)}, **tls), domain, "anna")


async def test_a_bind_without_tls_is_refused_by_the_directory(domain: DomainController) -> None:
    config = domain.settings(server_port=389, tls_strategy="insecure", tls_kwargs={})
    provider = LdapProvider(
        ProviderSettings(name="ad", kind="ldap", config=config, deadline_seconds=20, insecure_tls=True)
    )
    with pytest.raises(ProviderUnreachable):
        await provider.prove("anna", domain.passwords["anna"], totp=None, source=None)
    provider.close()


@pytest.mark.proves("R16")
async def test_the_search_of_a_whole_domain_follows_none_of_its_references(ad: Make, domain: DomainController) -> None:
    """A domain controller answers a search at its root with references to its other partitions."""
    from aizen_hub.hub.login.ldap.connection import REFERRALS

    before = REFERRALS._value.get()
    assert (await prove(ad(user_search_base=SUFFIX), domain, "anna")).name == "anna"
    assert REFERRALS._value.get() > before
