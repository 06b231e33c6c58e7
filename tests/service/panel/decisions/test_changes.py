"""Every kind of pending change, confirmed in the panel."""

from __future__ import annotations

import re

import pytest

from aizen_hub.accounts.command_handlers import CHANGE_HANDLERS
from aizen_hub.tokens.opaque_token import hash_credential
from tests.fixtures.pending_cases import CASES, prepare_project, request_change
from tests.service.conftest import OPERATOR, Driver
from tests.service.panel.window import FakeHub, Window


def test_there_is_a_case_for_every_kind_of_change() -> None:
    assert set(CASES) == set(CHANGE_HANDLERS)


@pytest.mark.proves("R77")
@pytest.mark.parametrize("kind", sorted(CASES))
async def test_a_confirmed_change_is_answered_with_its_result(hub_service: Driver, hub: FakeHub, kind: str) -> None:
    store = hub_service.context.store
    with store.write(OPERATOR) as tx:
        prepare_project(tx, "boss")
    change = f"changes/{request_change(store, kind, 'boss')}"
    window = Window(hub_service, hub)
    token = await window.sign_in("boss")
    recent = {"user": "boss", "provider": "local", "subject": "boss", "session": hash_credential("session-of-boss")}
    assert (await hub_service.hub("POST", "/login/recent", recent)).status == 200

    page = await window.get(change)
    assert page.status == 200, page.body
    assert b'id="aizen-confirm"' in page.body, page.body
    confirmed = await window.post(f"{change}/confirm", {"xsrf": token})
    text = confirmed.body.decode()
    assert confirmed.status == 200, text
    message = re.search(r'id="aizen-confirmed">([^<]+)<', text)
    assert message is not None, text
    assert CASES[kind].answer.replace("`", "").lower() in message[1].lower()
    secrets = re.findall(r'class="aizen-secret"[^>]*>([^<]+)<', text)
    assert len(secrets) == bool(CASES[kind].shown_once)
    assert all(secret.startswith(CASES[kind].shown_once) for secret in secrets)
