"""Requests to be registered: who is told, how long they wait, and who dismisses them."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import update

from aizen_hub.accounts.users import registration, registration_requests
from aizen_hub.problems import Denied, NotFound, TooManyRequests
from aizen_hub.rbac.identity import Identity
from aizen_hub.store import tables
from aizen_hub.store.actor import Actor, Channel
from tests.service.conftest import OPERATOR, Driver, service

__all__ = ["service"]


@pytest.fixture
def options() -> dict[str, object]:
    providers = [{"name": "local", "kind": "local"}, {"name": "lab", "kind": "ldap"}]
    return {"alerts": {"webhook_url": "https://alerts.example.test/hook"}, "providers": providers}


def ask(driver: Driver, name: str = "dora", provider: str = "lab") -> None:
    with driver.context.store.write(OPERATOR) as tx:
        registration_requests.request_registration(tx, provider, name, display_name="Dora Díaz", email="d@example.test")


def waiting(driver: Driver) -> list[str]:
    with driver.context.store.read() as tx:
        return [row.name for row in registration_requests.list_registration_requests(tx)]


async def test_a_request_is_told_once_and_listed(service: Driver) -> None:
    ask(service)
    ask(service)
    assert waiting(service) == ["dora"]
    with service.context.store.read() as tx:
        alerts = tx.conn.execute(tables.outbox.select()).all()
        events = tx.conn.execute(tables.audit.select().where(tables.audit.c.event == "registration.requested")).all()
    assert [row.event for row in alerts].count("registration-requested") == 1
    assert len(events) == 1


async def test_a_request_ends_by_itself_and_with_the_registration(service: Driver) -> None:
    ask(service, "Dora")
    ask(service, "emil")
    with service.context.store.write(OPERATOR) as tx:
        registration.create_user(tx, "dora", provider="lab")
        assert [row.name for row in registration_requests.list_registration_requests(tx)] == ["emil"]
        tx.conn.execute(update(tables.registration_requests).values(asked=tx.now - timedelta(days=15)))
    assert waiting(service) == []


async def test_the_number_of_requests_is_bounded(service: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registration_requests, "MAX_WAITING", 1)
    ask(service)
    with pytest.raises(TooManyRequests):
        ask(service, "emil")
    ask(service)


async def test_only_administrators_dismiss(service: Driver) -> None:
    ask(service)
    store = service.context.store
    with pytest.raises(Denied), store.write(Actor(Identity.user("ada"), Channel.PANEL)) as tx:
        registration_requests.dismiss_registration_request(tx, "lab", "dora")
    boss = Actor(Identity.user("boss"), Channel.PANEL)
    with store.write(boss) as tx:
        registration_requests.dismiss_registration_request(tx, "lab", "dora")
    assert waiting(service) == []
    with pytest.raises(NotFound), store.write(boss) as tx:
        registration_requests.dismiss_registration_request(tx, "lab", "dora")


async def test_the_hub_reports_it(service: Driver) -> None:
    body = {"provider": "lab", "name": "dora", "display_name": "Dora", "email": None}
    assert (await service.hub("POST", "/login/registrations", body)).status == 204
    assert waiting(service) == ["dora"]
    assert (await service.call("POST", "/api/v1/login/registrations", body)).status == 401
