"""A directory that says yes to everything, or talks nonsense, signs nobody in."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator

import pytest

from aizen_hub.hub.login.ldap.provider import LdapProvider
from aizen_hub.hub.login.provider import NotLetIn, ProviderUnreachable, WrongCredentials
from aizen_hub.settings import ProviderSettings
from tests.hub.login.ldap.malicious_ldap import SUBJECT, LyingDirectory, entry, lying_directory


@pytest.fixture
def liar() -> Iterator[tuple[LyingDirectory, LdapProvider]]:
    with lying_directory() as (liar, port):
        config = {
            "server_address": "127.0.0.1",
            "server_port": port,
            "tls_strategy": "insecure",
            "lookup_dn": True,
            "user_search_base": "ou=people,dc=lab,dc=test",
            "user_attribute": "uid",
        }
        provider = LdapProvider(
            ProviderSettings(name="lab", kind="ldap", config=config, insecure_tls=True, deadline_seconds=1.0)
        )
        yield liar, provider
        provider.close()


async def prove(provider: LdapProvider, password: str = "anything") -> str:
    return (await provider.prove("alice", password, totp=None, source=None)).subject


async def test_the_stand_in_is_good_enough_to_let_somebody_in(liar: tuple[LyingDirectory, LdapProvider]) -> None:
    assert await prove(liar[1]) == SUBJECT.decode()


@pytest.mark.parametrize("password", ["", " ", "\0", "\0\0", "x\0", "\u2003"])
@pytest.mark.proves("R9", "R10", "T-18")
async def test_an_empty_password_never_reaches_it(liar: tuple[LyingDirectory, LdapProvider], password: str) -> None:
    with pytest.raises(WrongCredentials):
        await prove(liar[1], password)
    assert liar[0].binds == []


@pytest.mark.parametrize(
    "whoami", [b"", b"dn:", b"dn:uid=mallory,ou=people,dc=lab,dc=test", b"dn:not a name", b"dn:uid=alice,ou=people"]
)
@pytest.mark.proves("R11", "R15")
async def test_a_bind_as_nobody_or_somebody_else_is_none(
    liar: tuple[LyingDirectory, LdapProvider], whoami: bytes
) -> None:
    liar[0].whoami = whoami
    with pytest.raises(ProviderUnreachable):
        await prove(liar[1])


async def test_active_directory_answers_with_another_form(liar: tuple[LyingDirectory, LdapProvider]) -> None:
    liar[0].whoami = b"u:LAB\\alice"
    assert await prove(liar[1]) == SUBJECT.decode()


@pytest.mark.proves("R15")
async def test_another_entry_after_the_bind_is_refused(liar: tuple[LyingDirectory, LdapProvider]) -> None:
    liar[0].entries = [entry, lambda number: entry(number, subject=b"00000000-0000-0000-0000-000000000001")]
    with pytest.raises(ProviderUnreachable):
        await prove(liar[1])


@pytest.mark.proves("R13")
async def test_no_entry_or_two_are_nobody(liar: tuple[LyingDirectory, LdapProvider]) -> None:
    for entries in (lambda number: b"", lambda number: entry(number) + entry(number, dn=b"uid=alice,ou=x")):
        liar[0].entries, liar[0].searches = [entries], 0
        with pytest.raises(WrongCredentials):
            await prove(liar[1])


@pytest.mark.parametrize("uid", [b"al\x00ice", b"alice\n", b"x" * 2000, b"\xff\xfe", "\u202ealice".encode(), b""])
@pytest.mark.proves("R21", "T-20", "T-21")
async def test_a_name_with_control_characters_is_refused(liar: tuple[LyingDirectory, LdapProvider], uid: bytes) -> None:
    liar[0].entries = [lambda number: entry(number, uid=uid)]
    if uid.strip() == b"alice":
        assert await prove(liar[1]) == SUBJECT.decode()
        return
    with pytest.raises(NotLetIn, match="`uid` has 0 readable values"):
        await prove(liar[1])


@pytest.mark.parametrize(
    ("field", "value"),
    [("drip", 0.5), ("endless", True), ("cut_after", 3), ("rubbish", b"HTTP/1.1 200 OK\r\n\r\n"),
     ("rubbish", b"\x30\x03\x02\x01"), ("rubbish", b"\x30\x84\x7f\xff\xff\xff"), ("rubbish", b"\xff" * 64),
     ("rubbish", b"\x30\x00")],
)  # fmt: skip
@pytest.mark.proves("R17", "T-22")
async def test_nonsense_ends_within_the_deadline(
    liar: tuple[LyingDirectory, LdapProvider], field: str, value: object
) -> None:
    setattr(liar[0], field, value)
    start = time.monotonic()
    with pytest.raises(ProviderUnreachable):
        await prove(liar[1])
    assert time.monotonic() - start < 2.0
    # The thread is free again at once, though the server goes on; so the next sign-in works.
    provider = liar[1]
    for _ in range(40):
        if provider._room._value == 4 + 64:
            break
        await asyncio.sleep(0.05)
    assert provider._room._value == 4 + 64
    setattr(liar[0], field, type(value)())
    provider._seconds = 5.0
    assert await prove(provider) == SUBJECT.decode()
