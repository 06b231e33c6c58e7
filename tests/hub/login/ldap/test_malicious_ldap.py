"""A directory that accepts everything, or sends invalid data, signs no user in."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from aizen_hub.hub.login.ldap import connection as connection_module
from aizen_hub.hub.login.ldap.provider import LdapProvider
from aizen_hub.hub.login.provider import AccessDeniedError, ProviderUnreachableError, WrongCredentialsError
from aizen_hub.settings import ProviderSettings
from tests.fixtures.timing import until, within
from tests.hub.login.ldap.malicious_ldap import SUBJECT, MaliciousDirectory, entry, malicious_directory


@pytest.fixture
def malicious() -> Iterator[tuple[MaliciousDirectory, LdapProvider]]:
    with malicious_directory() as (directory, port):
        config = {
            "server_address": "127.0.0.1",
            "server_port": port,
            "tls_strategy": "insecure",
            "lookup_dn": True,
            "user_search_base": "ou=people,dc=lab,dc=test",
            "user_attribute": "uid",
        }
        provider = LdapProvider(
            ProviderSettings(name="lab", kind="ldap", config=config, insecure_tls=True, deadline_seconds=30.0)
        )
        yield directory, provider
        provider.close()


async def authenticate(provider: LdapProvider, password: str = "anything") -> str:
    return (await provider.authenticate("alice", password, totp=None, source=None)).subject


async def test_the_fake_directory_permits_a_login(malicious: tuple[MaliciousDirectory, LdapProvider]) -> None:
    assert await authenticate(malicious[1]) == SUBJECT.decode()


@pytest.mark.parametrize("password", ["", " ", "\0", "\0\0", "x\0", "\u2003"])
@pytest.mark.proves("R9", "R10", "T-18")
async def test_an_empty_password_never_reaches_it(
    malicious: tuple[MaliciousDirectory, LdapProvider], password: str
) -> None:
    with pytest.raises(WrongCredentialsError):
        await authenticate(malicious[1], password)
    assert malicious[0].binds == []


@pytest.mark.parametrize(
    "whoami", [b"", b"dn:", b"dn:uid=mallory,ou=people,dc=lab,dc=test", b"dn:not a name", b"dn:uid=alice,ou=people"]
)
@pytest.mark.proves("R11", "R15")
async def test_an_anonymous_or_foreign_bind_is_rejected(
    malicious: tuple[MaliciousDirectory, LdapProvider], whoami: bytes
) -> None:
    malicious[0].whoami = whoami
    with pytest.raises(ProviderUnreachableError):
        await authenticate(malicious[1])


async def test_active_directory_uses_another_form(malicious: tuple[MaliciousDirectory, LdapProvider]) -> None:
    malicious[0].whoami = b"u:LAB\\alice"
    assert await authenticate(malicious[1]) == SUBJECT.decode()


@pytest.mark.proves("R15")
async def test_another_entry_after_the_bind_is_rejected(malicious: tuple[MaliciousDirectory, LdapProvider]) -> None:
    malicious[0].entries = [
        entry,
        lambda message_id: entry(message_id, subject=b"00000000-0000-0000-0000-000000000001"),
    ]
    with pytest.raises(ProviderUnreachableError):
        await authenticate(malicious[1])


@pytest.mark.proves("R13")
async def test_no_entry_or_two_are_rejected(malicious: tuple[MaliciousDirectory, LdapProvider]) -> None:
    for entries in (
        lambda message_id: b"",
        lambda message_id: entry(message_id) + entry(message_id, dn=b"uid=alice,ou=x"),
    ):
        malicious[0].entries, malicious[0].searches = [entries], 0
        with pytest.raises(WrongCredentialsError):
            await authenticate(malicious[1])


@pytest.mark.parametrize("uid", [b"al\x00ice", b"alice\n", b"x" * 2000, b"\xff\xfe", "\u202ealice".encode(), b""])
@pytest.mark.proves("R21", "T-20", "T-21")
async def test_a_name_with_control_characters_is_rejected(
    malicious: tuple[MaliciousDirectory, LdapProvider], uid: bytes
) -> None:
    malicious[0].entries = [lambda message_id: entry(message_id, uid=uid)]
    if uid.strip() == b"alice":
        assert await authenticate(malicious[1]) == SUBJECT.decode()
        return
    with pytest.raises(AccessDeniedError, match="`uid` has 0 readable values"):
        await authenticate(malicious[1])


@pytest.mark.parametrize(
    ("field", "value"),
    [("byte_delay", 0.5), ("endless", True), ("cut_after", 3), ("garbage", b"HTTP/1.1 200 OK\r\n\r\n"),
     ("garbage", b"\x30\x03\x02\x01"), ("garbage", b"\x30\x84\x7f\xff\xff\xff"), ("garbage", b"\xff" * 64),
     ("garbage", b"\x30\x00")],
)  # fmt: skip
@pytest.mark.proves("R17", "T-22")
async def test_invalid_data_ends_within_the_deadline(
    malicious: tuple[MaliciousDirectory, LdapProvider], field: str, value: object
) -> None:
    setattr(malicious[0], field, value)
    malicious[1]._seconds = 1.0  # without the deadline it would take a minute or forever
    with within(20), pytest.raises(ProviderUnreachableError):
        await authenticate(malicious[1])
    # The thread is released, though the server continues; so the next login works.
    provider = malicious[1]
    await until(lambda: provider._capacity._value == 4 + 64)
    setattr(malicious[0], field, type(value)())
    provider._seconds = 30.0
    assert await authenticate(provider) == SUBJECT.decode()


@pytest.mark.proves("R17", "T-22")
async def test_a_directory_that_never_stops_sending_is_cut_off_before_its_data_is_decoded(
    malicious: tuple[MaliciousDirectory, LdapProvider], monkeypatch: pytest.MonkeyPatch
) -> None:
    directory, provider = malicious
    monkeypatch.setattr(connection_module, "MAX_RECEIVED_BYTES", 1 << 16)
    directory.endless, provider._seconds = True, 120.0
    with within(60), pytest.raises(ProviderUnreachableError):
        await authenticate(provider)
