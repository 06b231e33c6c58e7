"""Client addresses: only headers from trusted proxies are accepted."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from tornado.httputil import HTTPHeaders

from aizen_hub.hub.login.authenticator import AizenAuthenticator
from aizen_hub.validation.client_address import is_trusted_proxy, resolve_client_address

TRUSTED = ("127.0.0.1", "::1", "10.0.0.1", "2001:DB8:0::5")


@pytest.mark.proves("R121", "R123")
@pytest.mark.parametrize(
    ("peer", "forwarded", "source"),
    [
        ("192.0.2.1", [], "192.0.2.1"),
        ("192.0.2.1", ["198.51.100.1"], "192.0.2.1"),
        ("192.0.2.1", ["127.0.0.1"], "192.0.2.1"),
        ("127.0.0.1", ["198.51.100.1"], "198.51.100.1"),
        ("127.0.0.1", ["203.0.113.9, 198.51.100.1"], "198.51.100.1"),
        ("127.0.0.1", ["203.0.113.9", "198.51.100.1"], "198.51.100.1"),
        # Through nginx and the hub's proxy, with and without forged entries in front.
        ("127.0.0.1", ["198.51.100.1, 10.0.0.1"], "198.51.100.1"),
        ("127.0.0.1", ["203.0.113.9, 198.51.100.1, 10.0.0.1"], "198.51.100.1"),
        ("127.0.0.1", ["10.0.0.1, 198.51.100.1, 10.0.0.1"], "198.51.100.1"),
        ("127.0.0.1", ["198.51.100.1", "10.0.0.1"], "198.51.100.1"),
        ("127.0.0.1", ["198.51.100.1,::ffff:10.0.0.1"], "198.51.100.1"),
        ("127.0.0.1", ["::ffff:198.51.100.1, 2001:db8::5"], "198.51.100.1"),
        ("::ffff:127.0.0.1", ["198.51.100.1"], "198.51.100.1"),
        ("127.0.0.1", ["198.51.100.1, 127.0.0.1"], "198.51.100.1"),
        # An untrusted proxy is the client.
        ("127.0.0.1", ["198.51.100.1, 10.0.0.2"], "10.0.0.2"),
        ("127.0.0.1", ["not an address"], "127.0.0.1"),
        ("127.0.0.1", ["198.51.100.1, rubbish"], "127.0.0.1"),
        ("127.0.0.1", ["198.51.100.1,"], "127.0.0.1"),
        ("127.0.0.1", ["198.51.100.1,, 10.0.0.1"], "10.0.0.1"),
        ("127.0.0.1", [""], "127.0.0.1"),
        ("127.0.0.1", ["198.51.100.1:4711"], "127.0.0.1"),
        ("127.0.0.1", ["[2001:db8::1]"], "127.0.0.1"),
        ("127.0.0.1", ["198.51.100.1\xa0"], "127.0.0.1"),
        ("127.0.0.1", ["198.51.100.01"], "127.0.0.1"),
        ("127.0.0.1", ["3325256705"], "127.0.0.1"),
        ("127.0.0.1", ["unknown"], "127.0.0.1"),
        ("127.0.0.1", ["fe80::1%a' or 'b"], "127.0.0.1"),
        ("127.0.0.1", ["for=198.51.100.1"], "127.0.0.1"),
        ("127.0.0.1", ["0" * 5000], "127.0.0.1"),
        ("127.0.0.1", ["198.51.100.1, " + "127.0.0.1," * 1000 + "127.0.0.1"], "127.0.0.1"),
        ("127.0.0.1", ["198.51.100.1" + ", 10.0.0.1" * 19], "198.51.100.1"),
        ("127.0.0.1", ["198.51.100.1" + ", 10.0.0.1" * 20], "10.0.0.1"),
        ("127.0.0.1", ["2001:DB8::0:1"], "2001:db8::1"),
        ("127.0.0.1", [], "127.0.0.1"),
        ("", ["198.51.100.1"], ""),
    ],
)
def test_the_address_seen_by_the_outermost_trusted_proxy(peer: str, forwarded: list[str], source: str) -> None:
    assert resolve_client_address(peer, forwarded, TRUSTED) == source
    if peer:
        # The hub's Tornado evaluates some headers itself and keeps the address of the connection separately.
        headers = HTTPHeaders({"X-Real-Ip": "192.0.2.66", "Forwarded": "for=192.0.2.67"})
        for value in forwarded:
            headers.add("X-Forwarded-For", value)
        context = SimpleNamespace(_orig_remote_ip=peer)
        request = SimpleNamespace(headers=headers, connection=SimpleNamespace(context=context), remote_ip="192.0.2.66")
        settings = SimpleNamespace(service=SimpleNamespace(trusted_proxies=TRUSTED))
        hub: Any = SimpleNamespace(aizen_settings=settings)
        assert AizenAuthenticator.client_address(hub, SimpleNamespace(request=request)) == source


NETWORKS = ("127.0.0.1", "10.1.2.0/24", "2001:db8:1::/64", "10.9.9.9/24", "0.0.0.0/0", "::/0", "10.0.0.0/33")


@pytest.mark.proves("R121")
@pytest.mark.parametrize(
    ("peer", "forwarded", "source"),
    [
        ("10.1.2.7", "198.51.100.1", "198.51.100.1"),
        ("::ffff:10.1.2.7", "198.51.100.1", "198.51.100.1"),
        ("2001:db8:1::9", "198.51.100.1", "198.51.100.1"),
        ("127.0.0.1", "198.51.100.1, 10.1.2.255, 10.1.2.0", "198.51.100.1"),
        ("10.1.3.0", "198.51.100.1", "10.1.3.0"),
        ("10.1.1.255", "198.51.100.1", "10.1.1.255"),
        ("2001:db8:2::9", "198.51.100.1", "2001:db8:2::9"),
        # What is no network has no effect, and neither has what would trust everyone.
        ("10.9.9.1", "198.51.100.1", "10.9.9.1"),
        ("192.0.2.1", "198.51.100.1", "192.0.2.1"),
    ],
)
def test_a_network_of_proxies(peer: str, forwarded: str, source: str) -> None:
    assert resolve_client_address(peer, [forwarded], NETWORKS) == source
    assert is_trusted_proxy(peer, NETWORKS) is (source != peer)


def test_without_trusted_proxies_the_header_is_ignored() -> None:
    assert resolve_client_address("127.0.0.1", ["198.51.100.1"], ()) == "127.0.0.1"


def test_without_a_request_there_is_no_address() -> None:
    hub: Any = SimpleNamespace()
    assert AizenAuthenticator.client_address(hub, SimpleNamespace()) is None
