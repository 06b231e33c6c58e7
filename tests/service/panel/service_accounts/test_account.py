"""Service accounts: credentials shown once and bound to keys, and only their owner or a manager changes them."""

from __future__ import annotations

import re
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from aizen_hub.accounts.service_accounts.credentials import authenticate_credential
from aizen_hub.service.panel.service_accounts.listing import AccountState, ServiceAccountsQuery, list_accounts
from aizen_hub.service.panel.visibility import Viewer
from tests.fixtures.browser.panel import PanelService
from tests.service.panel.people.test_person import text_of

_KEY = Ed25519PrivateKey.generate()
PUBLIC = (
    _KEY.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo).decode()
)
PRIVATE = _KEY.private_bytes(
    serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
).decode()


@pytest.fixture(scope="module", autouse=True)
def nightly(panel: PanelService) -> None:
    panel.sign_in_again("boss")
    assert panel.post("boss", "service-accounts/-/new", {"name": "nightly", "description": "Retrains"}).status == 303


def make(panel: PanelService, **fields: str) -> Any:
    return panel.post("boss", "service-accounts/nightly/credentials", {"days": "90", **fields})


def test_a_credential_is_shown_once_and_works(panel: PanelService) -> None:
    response = make(panel, networks="10.20.0.0/16, 127.0.0.1")
    assert response.status == 200
    credential = re.search(r"aizen-sa-[A-Za-z0-9_-]+", response.body.decode())
    assert credential is not None
    assert "aizen-sa-" not in panel.get("boss", "service-accounts/nightly")
    with panel.store.read() as tx:
        record = authenticate_credential(tx, credential.group(0))
    assert record is not None
    assert record.binding.networks == ("10.20.0.0/16", "127.0.0.1/32")
    assert "Location" not in response.headers  # never in an address


def test_a_public_key_binds_and_a_private_one_is_refused(panel: PanelService) -> None:
    bound = make(panel, key=PUBLIC)
    assert bound.status == 200
    assert "each request must be signed with the private key" in text_of(bound.body.decode())
    refused = make(panel, key=PRIVATE)
    assert refused.status == 422
    assert "This is a private key" in text_of(refused.body.decode())


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"key": "garbage"}, "key"),
        ({"networks": "10.0.0.1/8"}, "networks"),
        ({"networks": "0.0.0.0/0"}, "networks"),
        ({"days": "9999"}, "days"),
        ({"key": '{"kty":"RSA"}'}, "key"),
    ],
)
def test_an_error_stands_at_its_field(panel: PanelService, fields: dict[str, str], name: str) -> None:
    response = make(panel, **fields)
    assert response.status == 422
    assert f'href="#{name}"' in response.body.decode()


def test_a_credential_ends(panel: PanelService) -> None:
    response = make(panel)
    credential = re.search(r"aizen-sa-[A-Za-z0-9_-]+", response.body.decode())
    number = max(re.findall(r'name="credential" value="(\d+)"', response.body.decode()), key=int)
    assert credential is not None
    assert panel.post("boss", "service-accounts/nightly/credentials/end", {"credential": number}).status == 303
    with panel.store.read() as tx:
        assert authenticate_credential(tx, credential.group(0)) is None


def test_an_account_is_deactivated_and_activated(panel: PanelService) -> None:
    def state() -> AccountState:
        with panel.store.read_as(panel_actor("boss")) as tx:
            rows = list_accounts(Viewer(tx), ServiceAccountsQuery(q="nightly"))[1]
            return rows[0].state

    assert panel.post("boss", "service-accounts/nightly/active", {"active": "no"}).status == 303
    assert state() is AccountState.INACTIVE
    assert panel.post("boss", "service-accounts/nightly/active", {"active": "yes"}).status == 303
    assert state() is AccountState.ACTIVE


def panel_actor(name: str) -> Any:
    from aizen_hub.rbac.identity import Identity
    from aizen_hub.store.actor import Actor, Channel

    return Actor(Identity.user(name), Channel.PANEL)


@pytest.mark.parametrize("viewer", ["ada", "nil"])
@pytest.mark.parametrize(
    ("page", "form"),
    [
        ("service-accounts/nightly/credentials", {"days": "90"}),
        ("service-accounts/nightly/credentials/end", {"credential": "1"}),
        ("service-accounts/nightly/active", {"active": "no"}),
        ("service-accounts/nightly/delete", {"typed_name": "nightly"}),
        ("service-accounts/-/new", {"name": "theirs"}),
    ],
)
@pytest.mark.proves("R60")
def test_others_change_nothing_and_do_not_see_it(
    panel: PanelService, viewer: str, page: str, form: dict[str, str]
) -> None:
    assert panel.post(viewer, page, form).status in (403, 404)
    assert panel.run(panel.window(viewer).get("service-accounts/nightly")).status == 404
    assert "theirs" not in panel.get("boss", "service-accounts")


def test_an_account_is_deleted_after_the_name_was_typed(panel: PanelService) -> None:
    assert panel.post("boss", "service-accounts/-/new", {"name": "spare"}).status == 303
    assert panel.post("boss", "service-accounts/spare/delete", {"typed_name": "sparse"}).status == 422
    assert panel.post("boss", "service-accounts/spare/delete", {"typed_name": "spare"}).status == 303
    assert panel.run(panel.window("boss").get("service-accounts/spare")).status == 404
