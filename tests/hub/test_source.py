"""Where a request comes from: only what our own proxies say is believed."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from tornado.httputil import HTTPHeaders

from aizen_hub.hub.login.source import source_of

TRUSTED = ("127.0.0.1", "::1", "10.0.0.1")


@pytest.mark.proves("R123")
@pytest.mark.parametrize(
    ("peer", "forwarded", "source"),
    [
        ("192.0.2.1", [], "192.0.2.1"),
        ("192.0.2.1", ["198.51.100.1"], "192.0.2.1"),
        ("127.0.0.1", ["198.51.100.1"], "198.51.100.1"),
        ("127.0.0.1", ["203.0.113.9, 198.51.100.1"], "198.51.100.1"),
        ("127.0.0.1", ["203.0.113.9", "198.51.100.1"], "198.51.100.1"),
        ("127.0.0.1", ["198.51.100.1, 10.0.0.1"], "198.51.100.1"),
        ("127.0.0.1", ["198.51.100.1, 127.0.0.1"], "198.51.100.1"),
        ("127.0.0.1", ["not an address"], "127.0.0.1"),
        ("127.0.0.1", ["198.51.100.1, rubbish"], "127.0.0.1"),
        ("127.0.0.1", ["127.0.0.1," * 1000], "127.0.0.1"),
        ("127.0.0.1", ["2001:DB8::0:1"], "2001:db8::1"),
        ("127.0.0.1", [], "127.0.0.1"),
    ],
)
def test_the_outermost_of_our_proxies_is_believed(peer: str, forwarded: list[str], source: str) -> None:
    headers = HTTPHeaders({"X-Real-Ip": "192.0.2.66"})
    for one in forwarded:
        headers.add("X-Forwarded-For", one)
    context = SimpleNamespace(_orig_remote_ip=peer)
    request = SimpleNamespace(headers=headers, connection=SimpleNamespace(context=context), remote_ip="192.0.2.66")
    assert source_of(request, TRUSTED) == source
