"""Sign-in by a real OpenLDAP server over StartTLS."""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from aizen_hub.hub.login.ldap import LdapProvider
from aizen_hub.hub.login.provider import NotLetIn, Proof, ProviderUnreachable, WrongCredentials
from aizen_hub.settings import ConfigurationError, ProviderSettings
from tests.hub.conftest import MakeProvider

pytestmark = pytest.mark.needs("slapd")

SUFFIX = "dc=lab,dc=test"
PEOPLE, GROUPS = f"ou=people,{SUFFIX}", f"ou=groups,{SUFFIX}"
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


async def prove(provider: LdapProvider, name: str, password: str | None = None) -> Proof:
    from tests.fixtures.slapd import PASSWORDS

    return await provider.prove(name, PASSWORDS[name] if password is None else password, totp=None, source="127.0.0.1")


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


class TestGroups:
    async def test_direct_ones_by_memberof(self, ldap: MakeProvider) -> None:
        # `admins` of ou=other is alice's: without a base for groups every place counts.
        assert (await prove(ldap(), "alice")).groups == ("admins", "team")

    async def test_direct_ones_by_search(self, ldap: MakeProvider) -> None:
        assert (await prove(ldap(group_search_base=GROUPS), "alice")).groups == ("team",)

    async def test_none_is_an_empty_list_and_not_unknown(self, ldap: MakeProvider) -> None:
        assert (await prove(ldap(), "carol")).groups == ()

    @pytest.mark.proves("R20", "T-20")
    @pytest.mark.parametrize(
        ("depth", "names"),
        [(0, ("team",)), (1, ("division", "team")), (2, ("company", "division", "team")),
         (16, ("company", "division", "ring", "team"))],
    )  # fmt: skip
    async def test_nested_ones_to_the_depth_and_through_a_cycle(
        self, ldap: MakeProvider, depth: int, names: tuple[str, ...]
    ) -> None:
        provider = ldap(group_search_base=GROUPS, nested_group_depth=depth)
        assert (await prove(provider, "alice")).groups == names

    async def test_whole_names(self, ldap: MakeProvider) -> None:
        groups = (await prove(ldap(group_names="dn"), "alice")).groups
        assert groups == (f"cn=admins,ou=other,{SUFFIX}", f"cn=team,{GROUPS}")

    @pytest.mark.proves("R19")
    async def test_one_short_name_in_two_places_counts_for_neither(self, ldap: MakeProvider, directory: Any) -> None:
        group = f"cn=admins,{GROUPS}"
        directory.modify(group, "add: member", f"member: uid=alice,{PEOPLE}")
        try:
            assert (await prove(ldap(), "alice")).groups == ("team",)
        finally:
            directory.modify(group, "delete: member", f"member: uid=alice,{PEOPLE}")


class TestRestrictions:
    @pytest.mark.parametrize(
        ("allowed", "who", "in_"),
        [
            ([f"cn=team,{GROUPS}"], "alice", True),
            ([f"cn=team,{GROUPS}"], "bob", False),
            (["CN=Team , OU=Groups,DC=lab,DC=test"], "alice", True),
            ([f"cn=\\74eam,{GROUPS}"], "alice", True),
            ([f"cn=tea,{GROUPS}"], "alice", False),
            ([f"cn=team,{GROUPS},dc=more"], "alice", False),
            ([f"cn=outside,{GROUPS}", f"cn=team,{GROUPS}"], "alice", True),
            ([f"cn=admins,{GROUPS}"], "alice", False),
            ([f"cn=nowhere,{GROUPS}"], "alice", False),
        ],
    )
    @pytest.mark.proves("R19")
    async def test_allowed_groups_are_compared_as_names(
        self, ldap: MakeProvider, allowed: list[str], who: str, in_: bool
    ) -> None:
        provider = ldap(allowed_groups=allowed)
        if in_:
            assert (await prove(provider, who)).name == who
        else:
            with pytest.raises(NotLetIn, match="none of the groups"):
                await prove(provider, who)

    async def test_nested_membership_counts_where_it_is_followed(self, ldap: MakeProvider) -> None:
        allowed = {"allowed_groups": [f"cn=company,{GROUPS}"], "group_search_base": GROUPS}
        with pytest.raises(NotLetIn):
            await prove(ldap(**allowed), "alice")
        assert (await prove(ldap(nested_group_depth=3, **allowed), "alice")).name == "alice"

    @pytest.mark.parametrize("key", ["allowed_groups", "allowed_users"])
    @pytest.mark.proves("R6")
    def test_an_empty_allow_list_does_not_start(self, ldap: MakeProvider, key: str) -> None:
        with pytest.raises(ConfigurationError, match=f"providers.lab.config.{key}` is empty"):
            ldap(**{key: []})

    @pytest.mark.proves("R25")
    async def test_every_restriction_must_hold(self, ldap: MakeProvider) -> None:
        group = [f"cn=team,{GROUPS}"]
        assert (await prove(ldap(allowed_groups=group, allowed_users=["alice"]), "alice")).name == "alice"
        for config in (
            {"allowed_groups": group, "allowed_users": ["bob"]},
            {"allowed_groups": group, "blocked_users": ["alice"]},
            {"allowed_groups": group, "search_filter": "(&(uid={username})(cn=Nobody))"},
            {"allowed_users": ["alice"], "search_filter": "(&(uid={username})(cn=Nobody))"},
        ):
            with pytest.raises(NotLetIn):
                await prove(ldap(**config), "alice")
        assert await prove(ldap(search_filter="(&(uid={username})(cn=Alice*))"), "alice")


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


class TestBadDirectory:
    @pytest.mark.proves("R17", "T-22")
    async def test_a_hung_server_costs_its_deadline_and_no_more(self, ldap: MakeProvider, directory: Any) -> None:
        provider = ldap(provider_deadline_seconds=1.0)
        lag = 0.0

        async def watch() -> None:
            nonlocal lag
            while True:
                before = time.monotonic()
                await asyncio.sleep(0.01)
                lag = max(lag, time.monotonic() - before - 0.01)

        watching = asyncio.ensure_future(watch())
        try:
            with directory.hung():
                start = time.monotonic()
                with pytest.raises(ProviderUnreachable, match="says nothing about your password"):
                    await prove(provider, "alice")
                assert time.monotonic() - start < 1.6
        finally:
            watching.cancel()
        assert lag < 0.1
        assert (await prove(provider, "alice")).name == "alice"

    @pytest.mark.proves("R17", "R127")
    async def test_threads_and_queue_are_bounded(self, ldap: MakeProvider, directory: Any) -> None:
        provider = ldap(provider_deadline_seconds=1.0, provider_pool_size=2, provider_queue_size=3)
        with directory.hung():
            start = time.monotonic()
            results = await asyncio.gather(*(prove(provider, "alice") for _ in range(20)), return_exceptions=True)
            assert time.monotonic() - start < 2.5
        assert all(isinstance(one, ProviderUnreachable) for one in results)
        assert sum("too many people" in str(one) for one in results) == 15
        for _ in range(100):
            await asyncio.sleep(0.02)
            if provider._room._value == 5:
                break
        assert (await prove(provider, "alice")).name == "alice"

    @pytest.mark.proves("T-22")
    async def test_nobody_listening(self, ldap: MakeProvider) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            provider = ldap(server_port=free.getsockname()[1])
        with pytest.raises(ProviderUnreachable):
            await prove(provider, "alice")

    async def test_a_second_server_takes_over(self, ldap: MakeProvider, directory: Any) -> None:
        # Nobody listens at 127.0.0.3; the certificate holds for the second address.
        provider = ldap(server_address="127.0.0.3", server_addresses=[directory.host])
        assert (await prove(provider, "alice")).name == "alice"

    @pytest.mark.proves("R17", "T-22")
    async def test_a_dead_first_server_costs_its_share_and_only_once(self, ldap: MakeProvider, directory: Any) -> None:
        # It takes connections and never says a word.
        with socket.create_server(("127.0.0.3", directory.port), backlog=64):
            provider = ldap(
                provider_deadline_seconds=3.0, server_address="127.0.0.3", server_addresses=[directory.host]
            )
            start = time.monotonic()
            assert (await prove(provider, "alice")).name == "alice"
            assert 1.4 < time.monotonic() - start < 2.5
            start = time.monotonic()
            assert (await prove(provider, "alice")).name == "alice"
            assert time.monotonic() - start < 1.0, "the server that failed is asked last for a while"

    @pytest.mark.proves("R17")
    async def test_several_dead_servers_share_the_one_deadline(self, ldap: MakeProvider, directory: Any) -> None:
        with socket.create_server(("127.0.0.3", directory.port)), socket.create_server(("127.0.0.4", directory.port)):
            provider = ldap(provider_deadline_seconds=1.5, server_address="127.0.0.3", server_addresses=["127.0.0.4"])
            start = time.monotonic()
            with pytest.raises(ProviderUnreachable):
                await prove(provider, "alice")
            assert time.monotonic() - start < 2.2

    async def test_groups_are_read_in_pages(self, ldap: MakeProvider, directory: Any) -> None:
        """A server that gives five entries at a time, as they are often set up, hides none."""
        names = [f"paged{number:02}" for number in range(12)]
        reader = directory.settings()["lookup_dn_search_user"]
        limits = f'dn.exact="{reader}" size.soft=5 size.hard=5 size.prtotal=unlimited'
        database = "olcDatabase={1}mdb,cn=config"
        for name in names:
            directory.ldapadd(
                f"dn: cn={name},{GROUPS}\nobjectClass: groupOfNames\ncn: {name}\nmember: uid=carol,{PEOPLE}\n"
            )
        directory.modify(database, "add: olcLimits", f"olcLimits: {limits}")
        try:
            provider = ldap(group_search_base=GROUPS, group_search_filter="(member={userdn})", page_size=4)
            assert set((await prove(provider, "carol")).groups or ()) == set(names)
            assert directory.asked().count("SEARCH RESULT") > 4
            whole = ldap(group_search_base=GROUPS, group_search_filter="(member={userdn})", page_size=1000)
            assert len((await prove(whole, "alice")).groups or ()) == 1
        finally:
            directory.modify(database, "delete: olcLimits")
            for name in names:
                directory.ldapdelete(f"cn={name},{GROUPS}")

    @pytest.mark.proves("R4", "T-22")
    async def test_an_unknown_ca_is_not_trusted(self, ldap: MakeProvider, directory: Any, tmp_path: Path) -> None:
        with pytest.raises(ProviderUnreachable):
            await prove(ldap(tls_kwargs={}), "alice")
        assert "uid=alice" not in directory.asked()

    @pytest.mark.proves("R4", "T-42")
    async def test_a_certificate_for_another_host_is_not_trusted(self, ldap: MakeProvider, directory: Any) -> None:
        with relay(directory.port, "127.0.0.2") as port:
            with pytest.raises(ProviderUnreachable):
                await prove(ldap(server_address="127.0.0.2", server_port=port), "alice")
            assert "BIND" not in directory.asked()

    async def test_a_wrong_lookup_password_is_the_directorys_trouble(self, ldap: MakeProvider) -> None:
        with pytest.raises(ProviderUnreachable):
            await prove(ldap(lookup_dn_search_password="wrong"), "alice")

    @pytest.mark.proves("R16", "T-19")
    async def test_a_referral_is_not_followed(self, ldap: MakeProvider, directory: Any) -> None:
        with listener() as (port, visits):
            entry = (
                f"dn: ou=away,{PEOPLE}\nobjectClass: referral\nobjectClass: extensibleObject\nou: away\n"
                f"ref: ldap://127.0.0.1:{port}/{PEOPLE}\n"
            )
            directory.ldapadd(entry)
            try:
                # One beside the answer, one instead of an answer, one at the bind.
                assert (await prove(ldap(), "alice")).name == "alice"
                with pytest.raises((ProviderUnreachable, WrongCredentials)):
                    await prove(ldap(user_search_base=f"ou=away,{PEOPLE}"), "alice")
                template = f"uid={{username}},ou=away,{PEOPLE}"
                with pytest.raises((ProviderUnreachable, WrongCredentials)):
                    await prove(ldap(lookup_dn=None, bind_dn_template=template), "alice")
                await asyncio.sleep(0.1)
                assert visits == []
            finally:
                directory.ldapdelete(f"ou=away,{PEOPLE}", extra_args=["-M"])


@pytest.mark.parametrize(
    ("config", "key"),
    [
        ({"server_adress": "x"}, "server_adress"),
        ({"use_ssl": True}, "use_ssl"),
        ({"admin_users": ["alice"]}, "admin_users"),
        ({"username_map": {"bob": "alice"}}, "username_map"),
        ({"tls_strategy": "insecure"}, "insecure_tls: true"),
        ({"tls_kwargs": {"validate": "CERT_NONE"}}, "insecure_tls: true"),
        ({"tls_kwargs": {"validate": "CERT_OPTIONAL"}}, "insecure_tls: true"),
        ({"tls_kwargs": {"validate": "NO"}}, "tls_kwargs.validate"),
        ({"tls_kwargs": {"valid_names": ["*"]}}, "insecure_tls: true"),
        ({"tls_kwargs": {"ca_certs_file": "no/such.pem"}}, "tls_kwargs.ca_certs_file"),
        ({"server_port": "many"}, "server_port"),
        ({"server_address": ""}, "server_address"),
        ({"lookup_dn": None}, "bind_dn_template"),
        ({"bind_dn_template": f"uid={{username}},{PEOPLE}"}, "bind_dn_template"),
        ({"lookup_dn": None, "bind_dn_template": "alice"}, "bind_dn_template"),
        ({"lookup_dn": None, "bind_dn_template": "{username}@lab.test"}, "bind_dn_template"),
        ({"user_attribute": None}, "user_attribute"),
        ({"user_search_base": None}, "user_search_base"),
        ({"lookup_dn_search_password": None}, "lookup_dn_search_password_file"),
        ({"allowed_groups": ["team"]}, "allowed_groups"),
        ({"nested_group_depth": 2}, "group_search_base"),
        ({"group_names": "ou"}, "group_names"),
    ],
)
@pytest.mark.proves("R1", "R4")
def test_a_mistake_stops_the_start_and_is_named(ldap: MakeProvider, config: dict[str, Any], key: str) -> None:
    with pytest.raises(ConfigurationError) as error:
        ldap(**config)
    assert key in str(error.value)


@pytest.mark.proves("R4")
async def test_unverified_tls_needs_its_flag_and_is_measured(directory: Any, caplog: pytest.LogCaptureFixture) -> None:
    from aizen_hub.hub.login.ldap import INSECURE

    config = directory.settings(tls_kwargs={"validate": "CERT_NONE"})
    provider = LdapProvider(ProviderSettings(name="open", kind="ldap", config=config, insecure_tls=True))
    try:
        assert "TLS is not verified" in caplog.text
        assert INSECURE.labels("ldap:open")._value.get() == 1
        assert (await prove(provider, "alice")).name == "alice"
    finally:
        provider.close()


class relay:
    """Passes bytes on from another loopback address, for which the directory has no certificate."""

    def __init__(self, port: int, host: str) -> None:
        self._port, self._host = port, host

    def __enter__(self) -> int:
        self._server = socket.create_server((self._host, 0))
        threading.Thread(target=self._run, daemon=True).start()
        return int(self._server.getsockname()[1])

    def __exit__(self, *exc: object) -> None:
        self._server.close()

    def _run(self) -> None:
        while True:
            try:
                near, _ = self._server.accept()
            except OSError:
                return
            far = socket.create_connection(("127.0.0.1", self._port))
            for one, other in ((near, far), (far, near)):
                threading.Thread(target=_pump, args=(one, other), daemon=True).start()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    try:
        while data := source.recv(65536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        return


class listener:
    """The hostile host of a referral: notes every visit."""

    def __enter__(self) -> tuple[int, list[object]]:
        self._server, visits = socket.create_server(("127.0.0.1", 0)), []
        visits: list[object] = visits

        def run() -> None:
            while True:
                try:
                    visits.append(self._server.accept())
                except OSError:
                    return

        threading.Thread(target=run, daemon=True).start()
        return int(self._server.getsockname()[1]), visits

    def __exit__(self, *exc: object) -> None:
        self._server.close()


def test_the_library_would_verify_nothing_by_itself() -> None:
    """Why the settings above exist; if this fails, ldap3 changed its defaults."""
    import ldap3

    assert ldap3.Tls().validate == ssl.CERT_NONE
    assert ldap3.Server("x").allowed_referral_hosts == [("*", True)]
