"""Login with a real OpenLDAP server over StartTLS."""

from __future__ import annotations

import re
from typing import Any

import pytest

from aizen_hub.hub.login.provider import AccessDeniedError, WrongCredentialsError
from tests.hub.conftest import MakeProvider
from tests.hub.directory_users import GROUPS_DN, SUFFIX, USERS_DN, UUID, authenticate

pytestmark = pytest.mark.needs("slapd")


@pytest.mark.proves("R13", "R14", "R15", "R22")
async def test_the_identity_is_read_from_the_directory(make_provider: MakeProvider, directory: Any) -> None:
    identity = await authenticate(make_provider(), "alice")
    assert (identity.provider, identity.name, identity.display_name) == ("lab", "alice", "Alice Ärmel")
    assert UUID.fullmatch(identity.subject)
    assert identity.email == "alice@example.org"
    assert identity.answered_in is not None
    assert identity.answered_in > 0
    log = directory.requests_logged()
    assert "STARTTLS" in log
    assert f'BIND dn="uid=alice,{USERS_DN}"' in log
    assert "WHOAMI" in log


@pytest.mark.parametrize("name", ["Alice", "ALICE"])
@pytest.mark.proves("R27", "T-15")
async def test_another_letter_case_is_the_same_user(make_provider: MakeProvider, name: str) -> None:
    provider = make_provider()
    identity = await provider.authenticate(name, "alice-has-a-secret", totp=None, source=None)
    assert identity.name == "alice"
    assert identity.subject == (await authenticate(provider, "alice")).subject


async def test_unknown_name_and_wrong_password_have_the_same_message(make_provider: MakeProvider) -> None:
    provider = make_provider()
    with pytest.raises(WrongCredentialsError) as wrong:
        await authenticate(provider, "alice", "not it")
    with pytest.raises(WrongCredentialsError) as unknown:
        await authenticate(provider, "unknown", "not it")
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
    make_provider: MakeProvider, directory: Any, password: str
) -> None:
    with pytest.raises(WrongCredentialsError):
        await authenticate(make_provider(), "alice", password)
    assert "ACCEPT" not in directory.requests_logged()


INJECTIONS = [
    "*", "*)(uid=*", "alice)(|(uid=*", "*)(objectClass=*", "alice)(&)", "al*", "(alice)", "alice\\2a", "\\61lice",
    "alice,ou=people", "alice,ou=admins", "uid=alice", "alice+cn=x", "alice#", '"alice"', "alice;x", "alice<x>",
    "{login}", "{0}", "{login.__class__}", "%s", "\uff41\uff4c\uff49\uff43\uff45*", "alice|bob", "!alice",
]  # fmt: skip


@pytest.mark.parametrize("name", INJECTIONS)
@pytest.mark.proves("R12", "T-17")
async def test_text_from_the_form_stays_text_in_the_filter(
    make_provider: MakeProvider, directory: Any, name: str
) -> None:
    with pytest.raises(WrongCredentialsError):
        await authenticate(make_provider(), name, "alice-has-a-secret")
    log = directory.requests_logged()
    filters = re.findall(r'filter="(.*)"', log)
    assert len(filters) <= 1
    # One comparison only: no wildcard, no second condition.
    assert all(re.fullmatch(r"\(uid=(?:[^()*\\]|\\[0-9A-Fa-f]{2})*\)|\(\?=undefined\)", text) for text in filters), (
        filters
    )
    assert f'BIND dn="uid=alice,{USERS_DN}"' not in log


@pytest.mark.parametrize(
    "name", ["", " alice", "alice ", "alice\n", "alice\r", "al\0ice", "alice\u200b", "\u202ealice", "x" * 300]
)
@pytest.mark.proves("R28", "T-15")
async def test_a_name_with_surrounding_blanks_or_invisible_characters_causes_no_query(
    make_provider: MakeProvider, directory: Any, name: str
) -> None:
    with pytest.raises(WrongCredentialsError):
        await authenticate(make_provider(), name, "alice-has-a-secret")
    assert "ACCEPT" not in directory.requests_logged()


@pytest.mark.proves("R28")
async def test_a_configured_pattern_matches_the_whole_name(make_provider: MakeProvider, directory: Any) -> None:
    provider = make_provider(valid_username_regex="^[a-z]+$")
    await authenticate(provider, "alice")
    directory.clear_log()
    with pytest.raises(WrongCredentialsError):
        await authenticate(provider, "alice7", "x")
    assert "ACCEPT" not in directory.requests_logged()


@pytest.mark.proves("R13")
async def test_two_entries_for_one_name_deny_the_login(make_provider: MakeProvider, directory: Any) -> None:
    with pytest.raises(WrongCredentialsError):
        await authenticate(make_provider(), "twin")
    assert 'BIND dn="cn=Twin' not in directory.requests_logged()


@pytest.mark.parametrize(("name", "state"), [("dora", "disabled"), ("emil", "expired"), ("frida", "expired")])
@pytest.mark.proves("R18")
async def test_a_disabled_account_is_denied_even_with_the_right_password(
    make_provider: MakeProvider, name: str, state: str
) -> None:
    with pytest.raises(AccessDeniedError, match=state):
        await authenticate(make_provider(), name)
    with pytest.raises(WrongCredentialsError):
        await authenticate(make_provider(), name, "wrong")


async def test_an_account_that_never_expires_is_accepted(make_provider: MakeProvider) -> None:
    assert (await authenticate(make_provider(), "gustav")).name == "gustav"


@pytest.mark.proves("R18")
async def test_an_account_locked_by_the_password_policy_is_denied(make_provider: MakeProvider, directory: Any) -> None:
    carol = f"uid=carol,{USERS_DN}"
    directory.ldapmodify(
        f"dn: {carol}\nchangetype: modify\nadd: pwdAccountLockedTime\npwdAccountLockedTime: 000001010000Z\n",
        ["-e", "relax"],
    )
    provider = make_provider()
    try:
        with pytest.raises(WrongCredentialsError):
            await authenticate(provider, "carol")
        subject = directory.ldapsearch("(uid=carol)", USERS_DN, ["-LLL", "entryUUID"]).stdout.decode()
        assert await provider.refresh(UUID.search(subject).group(), "carol") is None  # type: ignore[union-attr]
    finally:
        directory.modify(carol, "delete: pwdAccountLockedTime")
    assert (await authenticate(provider, "carol")).name == "carol"


class TestTemplate:
    async def test_the_name_is_built_and_read_back(self, make_provider: MakeProvider, directory: Any) -> None:
        provider = make_provider(lookup_dn=None, bind_dn_template=f"uid={{username}},{USERS_DN}")
        identity = await authenticate(provider, "alice")
        assert (identity.name, bool(UUID.fullmatch(identity.subject))) == ("alice", True)
        assert "WHOAMI" in directory.requests_logged()

    @pytest.mark.parametrize("name", ["alice,ou=people", "alice , ou=people", "alice+uid=x,ou=people", "x,uid=alice"])
    @pytest.mark.proves("R12", "T-17")
    async def test_text_from_the_form_stays_one_value(
        self, make_provider: MakeProvider, directory: Any, name: str
    ) -> None:
        # Unescaped, the first of these would be the DN of alice.
        provider = make_provider(lookup_dn=None, bind_dn_template=f"uid={{username}},{SUFFIX}")
        with pytest.raises(WrongCredentialsError):
            await authenticate(provider, name, "alice-has-a-secret")
        for dn in re.findall(r'BIND dn="(.*?)" ', directory.requests_logged()):
            assert not dn.startswith(f"uid=alice,{USERS_DN}")

    async def test_without_a_lookup_account_groups_are_unknown_later(self, make_provider: MakeProvider) -> None:
        provider = make_provider(lookup_dn=None, bind_dn_template=f"uid={{username}},{USERS_DN}")
        identity = await provider.refresh("some-subject", "alice")
        assert identity is not None
        assert identity.groups is None


class TestRefresh:
    async def test_groups_are_read_again_without_a_password(self, make_provider: MakeProvider, directory: Any) -> None:
        provider = make_provider(group_search_base=GROUPS_DN)
        before = await authenticate(provider, "alice")
        directory.modify(f"cn=outside,{GROUPS_DN}", "add: member", f"member: uid=alice,{USERS_DN}")
        try:
            again = await provider.refresh(before.subject, "alice")
            assert again is not None
            assert (again.subject, again.groups) == (before.subject, ("outside", "team"))
        finally:
            directory.modify(f"cn=outside,{GROUPS_DN}", "delete: member", f"member: uid=alice,{USERS_DN}")

    @pytest.mark.parametrize("subject", ["", "*", "00000000-0000-0000-0000-000000000000", "x)(uid=*", "a b"])
    async def test_an_unknown_or_impossible_subject_is_gone(self, make_provider: MakeProvider, subject: str) -> None:
        assert await make_provider().refresh(subject, "alice") is None

    @pytest.mark.proves("R31", "R63")
    async def test_a_new_user_with_an_old_name_is_another_identity(
        self, make_provider: MakeProvider, directory: Any
    ) -> None:
        ghost = f"uid=ghost,{USERS_DN}"
        entry = f"dn: {ghost}\nobjectClass: inetOrgPerson\nuid: ghost\ncn: G\nsn: G\nuserPassword: ghost-has-a-secret\n"
        provider = make_provider()
        directory.ldapadd(entry)
        old = await authenticate(provider, "ghost", "ghost-has-a-secret")
        directory.ldapdelete(ghost)
        assert await provider.refresh(old.subject, "ghost") is None
        directory.ldapadd(entry)
        try:
            assert await provider.refresh(old.subject, "ghost") is None
            assert (await authenticate(provider, "ghost", "ghost-has-a-secret")).subject != old.subject
        finally:
            directory.ldapdelete(ghost)
