"""Activation links by mail: the link reaches the user through a real SMTP server, and no one else."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from email import message_from_bytes, policy
from typing import Any

import pytest
from aiosmtpd.controller import Controller

from aizen_hub.accounts.users import profiles
from aizen_hub.service.factory import SERVICE_ACTOR
from aizen_hub.store import tables
from tests.fixtures.network.ports import free_ports
from tests.service.conftest import Driver

DEADLINE = 5.0
NEW = "another long phrase of seven words, here"


class Mailbox:
    """The mails that an SMTP server received."""

    def __init__(self) -> None:
        self.mails: list[Any] = []
        self.refuse = False
        self.seconds = 0.0

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        if self.refuse:
            return "451 try again later"
        await asyncio.sleep(self.seconds)
        self.mails.append(envelope)
        return "250 OK"


@pytest.fixture
def mailbox() -> Iterator[tuple[Mailbox, int]]:
    (port,) = free_ports(1)
    mailbox = Mailbox()
    controller = Controller(mailbox, hostname="127.0.0.1", port=port)
    controller.start()
    yield mailbox, port
    controller.stop()


@pytest.fixture
def options(mailbox: tuple[Mailbox, int]) -> dict[str, Any]:
    mail = {"host": "127.0.0.1", "port": mailbox[1], "sender": "aizen@example.org", "starttls": False}
    return {"alerts": {"mail": mail}, "service": {"deadline_seconds": DEADLINE}}


@pytest.mark.proves("R66", "R67")
async def test_a_lost_password_is_mended_by_mail(service: Driver, mailbox: tuple[Mailbox, int]) -> None:
    """`boss` has no right in `p1`, of which `ada` is the admin."""
    with service.context.store.write(SERVICE_ACTOR) as tx:
        profiles.write_profile(tx, "ada", display_name=None, email="ada@example.org", phone=None, alerts=None)
    boss = await service.open("boss", None)
    response = await service.call("POST", "/api/v1/users/ada/activation", auth=boss.auth)
    assert response.status == 201, response.body
    assert "sent an activation link" in response.json["message"]
    assert "activation" not in response.json["data"]
    (envelope,) = mailbox[0].mails
    assert envelope.rcpt_tos == ["ada@example.org"]
    text = message_from_bytes(envelope.content, policy=policy.default).get_content()
    match = re.search(r"/services/aizen/activate#([A-Za-z0-9_-]{43})", text)
    assert match is not None
    assert match.group(1) not in response.body.decode()
    redeem = {"token": match.group(1), "password": NEW}
    assert (await service.call("POST", "/api/v1/activate", redeem)).status == 204
    login = {"provider": "local", "name": "ada", "password": NEW}
    assert (await service.hub("POST", "/login/password", login)).json["outcome"] == "verified"


async def test_a_mail_that_is_not_accepted_is_reported(service: Driver, mailbox: tuple[Mailbox, int]) -> None:
    mailbox[0].refuse = True
    with service.context.store.write(SERVICE_ACTOR) as tx:
        profiles.write_profile(tx, "ada", display_name=None, email="ada@example.org", phone=None, alerts=None)
    boss = await service.open("boss", None)
    response = await service.call("POST", "/api/v1/users/ada/activation", auth=boss.auth)
    assert response.status == 503
    assert "did not accept" in response.json["detail"]
    assert "check `alerts.mail`" in response.json["remedy"]


async def test_the_mail_server_may_take_longer_than_a_request(service: Driver, mailbox: tuple[Mailbox, int]) -> None:
    with service.context.store.write(SERVICE_ACTOR) as tx:
        profiles.write_profile(tx, "ada", display_name=None, email="ada@example.org", phone=None, alerts=None)
    boss = await service.open("boss", None)
    mailbox[0].seconds = DEADLINE + 0.5
    response = await service.call("POST", "/api/v1/users/ada/activation", auth=boss.auth)
    assert response.status == 201, response.body
    assert len(mailbox[0].mails) == 1


async def test_a_dry_run_sends_nothing(service: Driver, mailbox: tuple[Mailbox, int]) -> None:
    with service.context.store.write(SERVICE_ACTOR) as tx:
        profiles.write_profile(tx, "nil", display_name=None, email="nil@example.org", phone=None, alerts=None)
    boss = await service.open("boss", None)
    path = "/api/v1/users/nil/activation?delivery=mail"
    response = await service.call("POST", path, auth=boss.auth, headers={"Prefer": "dry-run"})
    assert response.status == 200, response.body
    assert mailbox[0].mails == []
    with service.context.store.read() as tx:
        a = tables.activations
        assert tx.conn.execute(a.select().where(a.c.by_mail)).all() == []
    assert (await service.call("POST", path, auth=boss.auth)).status == 201
    assert len(mailbox[0].mails) == 1
