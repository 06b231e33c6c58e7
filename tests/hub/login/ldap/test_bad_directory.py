"""A real OpenLDAP server that hangs, has a wrong certificate, or returns referrals."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from aizen_hub.hub.login.provider import ProviderUnreachableError, WrongCredentialsError
from tests.fixtures.timing import until, within
from tests.hub.conftest import MakeProvider
from tests.hub.directory_users import GROUPS_DN, USERS_DN, authenticate

pytestmark = pytest.mark.needs("slapd")


class TestBadDirectory:
    @pytest.mark.proves("R17", "T-22")
    async def test_a_hung_server_costs_its_deadline_and_no_more(
        self, make_provider: MakeProvider, directory: Any
    ) -> None:
        provider = make_provider(provider_deadline_seconds=2.0)
        turns = 0

        async def count_turns() -> None:
            nonlocal turns
            while True:
                await asyncio.sleep(0.01)
                turns += 1

        counting = asyncio.ensure_future(count_turns())
        try:
            # Without the deadline it would take as long as the directory hangs.
            with (
                directory.hung(),
                within(20),
                pytest.raises(ProviderUnreachableError, match="your password was not checked"),
            ):
                await authenticate(provider, "alice")
        finally:
            counting.cancel()
        assert turns > 20, "the event loop ran meanwhile"
        provider._seconds = 30.0
        assert (await authenticate(provider, "alice")).name == "alice"

    @pytest.mark.proves("R17", "R127")
    async def test_threads_and_queue_are_bounded(self, make_provider: MakeProvider, directory: Any) -> None:
        provider = make_provider(provider_deadline_seconds=1.0, provider_pool_size=2, provider_queue_size=58)
        # Two at a time, each until its own deadline, would take half a minute.
        with directory.hung(), within(15):
            results = await asyncio.gather(
                *(authenticate(provider, "alice") for _ in range(75)), return_exceptions=True
            )
        assert all(isinstance(result, ProviderUnreachableError) for result in results)
        assert sum("too many users" in str(result) for result in results) == 15
        await until(lambda: provider._capacity._value == 60)
        provider._seconds = 30.0
        assert (await authenticate(provider, "alice")).name == "alice"

    @pytest.mark.proves("T-22")
    async def test_a_closed_port(self, make_provider: MakeProvider) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            provider = make_provider(server_port=free.getsockname()[1])
        with pytest.raises(ProviderUnreachableError):
            await authenticate(provider, "alice")

    async def test_a_second_server_takes_over(self, make_provider: MakeProvider, directory: Any) -> None:
        # No server listens at 127.0.0.3; the certificate is valid for the second address.
        provider = make_provider(server_address="127.0.0.3", server_addresses=[directory.host])
        assert (await authenticate(provider, "alice")).name == "alice"

    @pytest.mark.proves("R17", "T-22")
    async def test_a_dead_first_server_costs_its_share_and_only_once(
        self, make_provider: MakeProvider, directory: Any
    ) -> None:
        with silent_server("127.0.0.3", directory.port) as dead:
            provider = make_provider(
                provider_deadline_seconds=8.0, server_address="127.0.0.3", server_addresses=[directory.host]
            )
            start = time.monotonic()
            # If the dead server could use the whole deadline, no time would be left for the other one.
            assert (await authenticate(provider, "alice")).name == "alice"
            assert time.monotonic() - start > 3.9, "its share is half"
            assert count_connections(dead) == 1
            assert (await authenticate(provider, "alice")).name == "alice"
            assert count_connections(dead) == 0, "the failed server is tried last for a while"

    @pytest.mark.proves("R17")
    async def test_several_dead_servers_share_the_one_deadline(
        self, make_provider: MakeProvider, directory: Any
    ) -> None:
        hosts = [f"127.0.0.{number}" for number in range(3, 11)]
        with ExitStack() as stack:
            servers = [stack.enter_context(silent_server(host, directory.port)) for host in hosts]
            provider = make_provider(provider_deadline_seconds=3.0, server_address=hosts[0], server_addresses=hosts[1:])
            # With a deadline for each of the eight it would take 24 seconds.
            with within(12), pytest.raises(ProviderUnreachableError):
                await authenticate(provider, "alice")
            await until(lambda: provider._capacity._value == 4 + 64)
            assert [count_connections(server) for server in servers[:2]] == [1, 1], "each gets its share"

    async def test_groups_are_read_in_pages(self, make_provider: MakeProvider, directory: Any) -> None:
        """A server with the common limit of five entries for each page hides none."""
        names = [f"paged{number:02}" for number in range(12)]
        reader = directory.settings()["lookup_dn_search_user"]
        limits = f'dn.exact="{reader}" size.soft=5 size.hard=5 size.prtotal=unlimited'
        database = "olcDatabase={1}mdb,cn=config"
        for name in names:
            directory.ldapadd(
                f"dn: cn={name},{GROUPS_DN}\nobjectClass: groupOfNames\ncn: {name}\nmember: uid=carol,{USERS_DN}\n"
            )
        directory.modify(database, "add: olcLimits", f"olcLimits: {limits}")
        try:
            provider = make_provider(group_search_base=GROUPS_DN, group_search_filter="(member={userdn})", page_size=4)
            assert set((await authenticate(provider, "carol")).groups or ()) == set(names)
            # The server logs a search after it has answered it.
            await until(lambda: directory.requests_logged().count("SEARCH RESULT") > 4)
            whole = make_provider(group_search_base=GROUPS_DN, group_search_filter="(member={userdn})", page_size=1000)
            assert len((await authenticate(whole, "alice")).groups or ()) == 1
        finally:
            directory.modify(database, "delete: olcLimits")
            for name in names:
                directory.ldapdelete(f"cn={name},{GROUPS_DN}")

    @pytest.mark.proves("R4", "T-22")
    async def test_an_unknown_ca_is_not_trusted(
        self, make_provider: MakeProvider, directory: Any, tmp_path: Path
    ) -> None:
        with pytest.raises(ProviderUnreachableError):
            await authenticate(make_provider(tls_kwargs={}), "alice")
        assert "uid=alice" not in directory.requests_logged()

    @pytest.mark.proves("R4", "T-42")
    async def test_a_certificate_for_another_host_is_not_trusted(
        self, make_provider: MakeProvider, directory: Any
    ) -> None:
        with relay(directory.port, "127.0.0.2") as port:
            with pytest.raises(ProviderUnreachableError):
                await authenticate(make_provider(server_address="127.0.0.2", server_port=port), "alice")
            assert "BIND" not in directory.requests_logged()

    async def test_a_wrong_lookup_password_is_a_directory_error(self, make_provider: MakeProvider) -> None:
        with pytest.raises(ProviderUnreachableError):
            await authenticate(make_provider(lookup_dn_search_password="wrong"), "alice")

    @pytest.mark.proves("R16", "T-19")
    async def test_a_referral_is_not_followed(self, make_provider: MakeProvider, directory: Any) -> None:
        with listener() as (port, visits):
            entry = (
                f"dn: ou=away,{USERS_DN}\nobjectClass: referral\nobjectClass: extensibleObject\nou: away\n"
                f"ref: ldap://127.0.0.1:{port}/{USERS_DN}\n"
            )
            directory.ldapadd(entry)
            try:
                # One in addition to the result, one instead of a result, one at the bind.
                assert (await authenticate(make_provider(), "alice")).name == "alice"
                with pytest.raises((ProviderUnreachableError, WrongCredentialsError)):
                    await authenticate(make_provider(user_search_base=f"ou=away,{USERS_DN}"), "alice")
                template = f"uid={{username}},ou=away,{USERS_DN}"
                with pytest.raises((ProviderUnreachableError, WrongCredentialsError)):
                    await authenticate(make_provider(lookup_dn=None, bind_dn_template=template), "alice")
                await asyncio.sleep(0.1)
                assert visits == []
            finally:
                directory.ldapdelete(f"ou=away,{USERS_DN}", extra_args=["-M"])


def silent_server(host: str, port: int) -> socket.socket:
    """Return a server that accepts connections and never responds."""
    return socket.create_server((host, port), backlog=64)


def count_connections(server: socket.socket) -> int:
    """Count the connections to a silent server since the last call."""
    server.setblocking(False)
    count = 0
    while True:
        try:
            server.accept()[0].close()
        except BlockingIOError:
            return count
        count += 1


class relay:
    """Forwards bytes from another loopback address, for which the directory has no certificate."""

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
            for source, sink in ((near, far), (far, near)):
                threading.Thread(target=_pump, args=(source, sink), daemon=True).start()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    try:
        while data := source.recv(65536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        return


class listener:
    """The hostile host of a referral: records every connection."""

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
