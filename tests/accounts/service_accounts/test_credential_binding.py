"""Credential bindings: canonical networks, and the addresses in them."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aizen_hub.accounts.service_accounts.credential_binding import MAX_NETWORKS, CredentialBinding
from aizen_hub.problems import BadInput

KEY = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"


@pytest.mark.parametrize(
    ("given_", "kept"),
    [
        ("10.20.0.0/16", "10.20.0.0/16"),
        ("192.0.2.7", "192.0.2.7/32"),
        ("10.0.0.0/255.0.0.0", "10.0.0.0/8"),
        ("2001:DB8::/32", "2001:db8::/32"),
        ("2001:db8:0:0::1", "2001:db8::1/128"),
        ("::1", "::1/128"),
    ],
)
def test_a_network_has_one_spelling(given_: str, kept: str) -> None:
    assert CredentialBinding.parse(None, [given_, given_]).networks == (kept,)


@pytest.mark.parametrize(
    "text",
    [
        "", " ", "x", "10.20.0.1/16", "2001:db8::1/32", "0.0.0.0/0", "::/0", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0",
        "010.0.0.0/8", "10.0.0.0/8 ", "10.0.0.0/8,192.0.2.0/24", "fe80::1%eth0", "fe80::%eth0/64", "example.org",
        "::ffff:10.0.0.0/104", "\uff11.0.0.0/8", "1" * 400,
    ],
)  # fmt: skip
def test_what_is_no_network_or_every_one_is_refused(text: str) -> None:
    with pytest.raises(BadInput):
        CredentialBinding.parse(None, [text])


def test_the_number_of_networks_is_limited() -> None:
    assert len(CredentialBinding.parse(None, (f"10.0.{n}.0/24" for n in range(MAX_NETWORKS))).networks) == MAX_NETWORKS
    with pytest.raises(BadInput):
        CredentialBinding.parse(None, (f"10.0.{n}.0/24" for n in range(MAX_NETWORKS + 1)))


@pytest.mark.parametrize("key", ["", "x", KEY[:-1], KEY + "A", KEY[:-1] + "=", KEY[:-1] + "+", KEY + "\n"])
def test_what_is_no_thumbprint_is_refused(key: str) -> None:
    with pytest.raises(BadInput):
        CredentialBinding.parse(key)


@pytest.mark.parametrize(
    "binding", [CredentialBinding(), CredentialBinding(KEY), CredentialBinding(KEY, ("10.0.0.0/8", "::1/128"))]
)
def test_a_binding_survives_confirmation(binding: CredentialBinding) -> None:
    assert CredentialBinding.from_json({"name": "x", "seconds": 7, **binding.to_json()}) == binding


@pytest.mark.proves("T-46")
@pytest.mark.parametrize(
    ("source", "inside"),
    [
        ("10.20.0.0", True),
        ("10.20.255.255", True),
        ("10.21.0.0", False),
        ("10.19.255.255", False),
        ("::ffff:10.20.3.4", True),
        ("::ffff:10.21.3.4", False),
        ("::10.20.3.4", False),
        ("2001:db8:7::1", True),
        ("2001:DB8:7:0:0:0:0:1", True),
        ("2001:db8:8::1", False),
        ("fe80::1%eth0", True),
        ("fe81::1%eth0", False),
        ("", False),
        ("unknown", False),
        ("10.20.0.1, 192.0.2.1", False),
        ("010.20.0.1", False),
    ],
)
def test_a_source_lies_in_a_network_or_not(source: str, inside: bool) -> None:
    binding = CredentialBinding.parse(None, ["10.20.0.0/16", "2001:db8:7::/48", "fe80::/64"])
    assert binding.allows_source(source) is inside
    assert CredentialBinding.parse(KEY).allows_source(source) is True


@given(st.ip_addresses(), st.ip_addresses(), st.integers(1, 128))
def test_it_agrees_with_the_first_bits(address: object, base: object, length: int) -> None:
    one, other = ip_address(str(address)), ip_address(str(base))
    length = min(length, other.max_prefixlen)
    network = str(ip_network((other.packed, length), strict=False))
    try:
        binding = CredentialBinding.parse(None, [network])
    except BadInput:
        return  # an IPv4 network in IPv6 spelling
    one = getattr(one, "ipv4_mapped", None) or one
    expected = one.version == other.version and (
        f"{int(one):0{one.max_prefixlen}b}"[:length] == f"{int(other):0{other.max_prefixlen}b}"[:length]
    )
    assert binding.allows_source(str(address)) is expected
