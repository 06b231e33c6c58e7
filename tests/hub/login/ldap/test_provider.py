"""Sign-in by a real OpenLDAP server over StartTLS."""

from __future__ import annotations

import re
from typing import Any

import pytest

from aizen_hub.hub.login.provider import NotLetIn, WrongCredentials
from tests.hub.conftest import MakeProvider
from tests.hub.people import GROUPS, PEOPLE, SUFFIX, UUID, prove

pytestmark = pytest.mark.needs("slapd")


@pytest.mark.proves("R13", "R14", "R15", "R22")
async def test_a_person_is_who_the_directory_says(ldap: MakeProvider, directory: Any) -> None:
    proof = await prove(ldap(), "alice")
    assert (proof.provider, proof.name, proof.display_name) == ("lab", "alice", "Alice Ärmel")
    assert UUID.fullmatch(proof.subject)
    assert proof.email == "alice@example.org"
    log = directory.asked()
    assert "STARTTLS" in log
    assert f'BIND dn="uid=alice,{PEOPLE}"' in log
    assert "WHOAMI" in log


@pytest.mark.parametrize("name", ["Alice", "ALICE"])
@pytest.mark.proves("R27", "T-15")
async def test_another_spelling_is_the_same_person_by_the_directorys_name(ldap: MakeProvider, name: str) -> None:
    provider = ldap()
    proof = await provider.prove(name, "alice-has-a-secret", totp=None, source=None)
    assert proof.name == "alice"
    assert proof.subject == (await prove(provider, "alice")).subject


async def test_unknown_and_wrong_are_told_in_the_same_words(ldap: MakeProvider) -> None:
    provider = ldap()
    with pytest.raises(WrongCredentials) as wrong:
        await prove(provider, "alice", "not it")
    with pytest.raises(WrongCredentials) as unknown:
        await prove(provider, "nobody", "not it")
    assert str(wrong.value) == str(unknown.value)


@pytest.mark.parametrize(
    "password",
    [
        "",
        " ",
        "\t \n",
        "\0",
        "\0\0",
        "alice-has-a-secret\0",
        "\0alice-has-a-secret",
        "\u00a0",
        "\u200b",
        "\u00ad",
        "x" * 2000,
    ],
)
@pytest.mark.proves("R9", "R10", "T-18")
async def test_a_blank_or_nul_password_is_refused_without_a_connection(
    ldap: MakeProvider, directory: Any, password: str
) -> None:
    with pytest.raises(WrongCredentials):
        await prove(ldap(), "alice", password)
    assert "ACCEPT" not in directory.asked()


INJECTIONS = [
    "*", "*)(uid=*", "alice)(|(uid=*", "*)(objectClass=*", "alice)(&)", "al*", "(alice)", "alice\\2a", "\\61lice",
    "alice,ou=people", "alice,ou=admins", "uid=alice", "alice+cn=x", "alice#", '"alice"', "alice;x", "alice<x>",
    "{login}", "{0}", "{login.__class__}", "%s", "\uff41\uff4c\uff49\uff43\uff45*", "alice|bob", "!alice",
]  # fmt: skip


@pytest.mark.parametrize("name", INJECTIONS)
@pytest.mark.proves("R12", "T-17")
async def test_text_from_the_form_stays_text_in_the_filter(ldap: MakeProvider, directory: Any, name: str) -> None:
    with pytest.raises(WrongCredentials):
        await prove(ldap(), name, "alice-has-a-secret")
    log = directory.asked()
    filters = re.findall(r'filter="(.*)"', log)
    assert len(filters) <= 1
    # One comparison and nothing else: no wildcard, no second condition.
    assert all(re.fullmatch(r"\(uid=(?:[^()*\\]|\\[0-9A-Fa-f]{2})*\)|\(\?=undefined\)", one) for one in filters), (
        filters
    )
    assert f'BIND dn="uid=alice,{PEOPLE}"' not in log


@pytest.mark.parametrize(
    "name", ["", " alice", "alice ", "alice\n", "alice\r", "al\0ice", "alice\u200b", "\u202ealice", "x" * 300]
)
@pytest.mark.proves("R28", "T-15")
async def test_a_name_with_blanks_around_or_invisible_characters_is_never_asked_for(
    ldap: MakeProvider, directory: Any, name: str
) -> None:
    with pytest.raises(WrongCredentials):
        await prove(ldap(), name, "alice-has-a-secret")
    assert "ACCEPT" not in directory.asked()


@pytest.mark.proves("R28")
async def test_a_configured_pattern_matches_the_whole_name(ldap: MakeProvider, directory: Any) -> None:
    provider = ldap(valid_username_regex="^[a-z]+$")
    await prove(provider, "alice")
    directory.forget()
    with pytest.raises(WrongCredentials):
        await prove(provider, "alice7", "x")
    assert "ACCEPT" not in directory.asked()


@pytest.mark.proves("R13")
async def test_two_entries_for_one_name_let_nobody_in(ldap: MakeProvider, directory: Any) -> None:
    with pytest.raises(WrongCredentials):
        await prove(ldap(), "twin")
    assert 'BIND dn="cn=Twin' not in directory.asked()


@pytest.mark.parametrize(("name", "state"), [("dora", "disabled"), ("emil", "expired"), ("frida", "expired")])
@pytest.mark.proves("R18")
async def test_a_shut_account_stays_out_though_its_password_is_right(ldap: MakeProvider, name: str, state: str) -> None:
    with pytest.raises(NotLetIn, match=state):
        await prove(ldap(), name)
    with pytest.raises(WrongCredentials):
        await prove(ldap(), name, "wrong")


async def test_an_account_that_never_expires_comes_in(ldap: MakeProvider) -> None:
    assert (await prove(ldap(), "gustav")).name == "gustav"


@pytest.mark.proves("R18")
async def test_an_account_locked_by_the_password_policy_stays_out(ldap: MakeProvider, directory: Any) -> None:
    carol = f"uid=carol,{PEOPLE}"
    directory.ldapmodify(
        f"dn: {carol}\nchangetype: modify\nadd: pwdAccountLockedTime\npwdAccountLockedTime: 000001010000Z\n",
        ["-e", "relax"],
    )
    provider = ldap()
    try:
        with pytest.raises(WrongCredentials):
            await prove(provider, "carol")
        subject = directory.ldapsearch("(uid=carol)", PEOPLE, ["-LLL", "entryUUID"]).stdout.decode()
        assert await provider.look_up(UUID.search(subject).group(), "carol") is None  # type: ignore[union-attr]
    finally:
        directory.modify(carol, "delete: pwdAccountLockedTime")
    assert (await prove(provider, "carol")).name == "carol"


class TestTemplate:
    async def test_the_name_is_built_and_read_back(self, ldap: MakeProvider, directory: Any) -> None:
        provider = ldap(lookup_dn=None, bind_dn_template=f"uid={{username}},{PEOPLE}")
        proof = await prove(provider, "alice")
        assert (proof.name, bool(UUID.fullmatch(proof.subject))) == ("alice", True)
        assert "WHOAMI" in directory.asked()

    @pytest.mark.parametrize("name", ["alice,ou=people", "alice , ou=people", "alice+uid=x,ou=people", "x,uid=alice"])
    @pytest.mark.proves("R12", "T-17")
    async def test_text_from_the_form_stays_one_value(self, ldap: MakeProvider, directory: Any, name: str) -> None:
        # Unescaped, the first of these would be alice's own name.
        provider = ldap(lookup_dn=None, bind_dn_template=f"uid={{username}},{SUFFIX}")
        with pytest.raises(WrongCredentials):
            await prove(provider, name, "alice-has-a-secret")
        for dn in re.findall(r'BIND dn="(.*?)" ', directory.asked()):
            assert not dn.startswith(f"uid=alice,{PEOPLE}")

    async def test_without_a_lookup_account_groups_are_unknown_later(self, ldap: MakeProvider) -> None:
        provider = ldap(lookup_dn=None, bind_dn_template=f"uid={{username}},{PEOPLE}")
        proof = await provider.look_up("some-subject", "alice")
        assert proof is not None
        assert proof.groups is None


class TestLookUp:
    async def test_groups_are_read_again_without_a_password(self, ldap: MakeProvider, directory: Any) -> None:
        provider = ldap(group_search_base=GROUPS)
        before = await prove(provider, "alice")
        directory.modify(f"cn=outside,{GROUPS}", "add: member", f"member: uid=alice,{PEOPLE}")
        try:
            again = await provider.look_up(before.subject, "alice")
            assert again is not None
            assert (again.subject, again.groups) == (before.subject, ("outside", "team"))
        finally:
            directory.modify(f"cn=outside,{GROUPS}", "delete: member", f"member: uid=alice,{PEOPLE}")

    @pytest.mark.parametrize("subject", ["", "*", "00000000-0000-0000-0000-000000000000", "x)(uid=*", "a b"])
    async def test_an_unknown_or_impossible_subject_is_nobody(self, ldap: MakeProvider, subject: str) -> None:
        assert await ldap().look_up(subject, "alice") is None

    @pytest.mark.proves("R31", "R63")
    async def test_somebody_new_under_an_old_name_is_not_the_same(self, ldap: MakeProvider, directory: Any) -> None:
        ghost = f"uid=ghost,{PEOPLE}"
        entry = f"dn: {ghost}\nobjectClass: inetOrgPerson\nuid: ghost\ncn: G\nsn: G\nuserPassword: ghost-has-a-secret\n"
        provider = ldap()
        directory.ldapadd(entry)
        old = await prove(provider, "ghost", "ghost-has-a-secret")
        directory.ldapdelete(ghost)
        assert await provider.look_up(old.subject, "ghost") is None
        directory.ldapadd(entry)
        try:
            assert await provider.look_up(old.subject, "ghost") is None
            assert (await prove(provider, "ghost", "ghost-has-a-secret")).subject != old.subject
        finally:
            directory.ldapdelete(ghost)
