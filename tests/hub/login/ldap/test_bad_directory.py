"""A real OpenLDAP server that hangs, lies about itself, or sends people elsewhere."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from aizen_hub.hub.login.provider import ProviderUnreachable, WrongCredentials
from tests.hub.conftest import MakeProvider
from tests.hub.people import GROUPS, PEOPLE, prove

pytestmark = pytest.mark.needs("slapd")


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
        self._server = socket.create_server(("127.0.0.1", 0))
        visits: list[object] = []

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
