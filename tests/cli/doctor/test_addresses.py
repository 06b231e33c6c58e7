"""Addresses without TLS where the network itself encrypts; `planted_faults.yaml` has them where it does not."""

from __future__ import annotations

from pathlib import Path

import pytest

from aizen_hub.cli.doctor.addresses import check_other_addresses, check_own_addresses
from aizen_hub.diagnosis.installation import Installation
from aizen_hub.settings import Settings

PLAIN = {
    "service": {
        "url": "http://aizen:9095",
        "managed": False,
        "tracing": {"endpoint": "http://collector:4318/v1/traces"},
    },
    "hub": {"url": "https://hub.example.org", "api_url": "http://hub:8081/hub/api"},
    "core": {"url": "http://core:8000"},
    "alerts": {"mail": {"host": "mail", "sender": "hub@example.org", "starttls": False}},
    "database": "postgresql://aizen@postgresql/aizen",
    "checkpoint_database": "postgresql://checkpoints@witness/checkpoints",
    "metrics": {"token_file": "metrics-token"},
}
HOSTS = {"aizen", "collector", "hub", "core", "mail", "postgresql", "witness"}


def plain_addresses(encrypted: set[str]) -> int:
    settings = Settings.model_validate({**PLAIN, "encrypted_hosts": sorted(encrypted)})
    installation = Installation(Path("aizen.yaml"), settings, Path("jupyterhub_config.py"))
    found = (*check_own_addresses(installation), *check_other_addresses(installation))
    return sum(result.check in ("plain-http", "plain-mail", "plain-database") for result in found)


@pytest.mark.parametrize("host", sorted(HOSTS))
def test_only_the_hosts_named_are_left_out(host: str) -> None:
    assert plain_addresses(set()) == len(HOSTS)
    assert plain_addresses({host}) == len(HOSTS) - 1
    assert plain_addresses(HOSTS - {host}) == 1
    assert plain_addresses({f"{host}.example.org"}) == len(HOSTS)
