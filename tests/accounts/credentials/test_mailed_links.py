"""Links for lost passwords and fresh accounts: shown to who controls the account, else sent to its user."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from aizen_hub.accounts.credentials import activation, mailed_links
from aizen_hub.accounts.roles import custom_roles
from aizen_hub.accounts.service_accounts import accounts
from aizen_hub.accounts.users import profiles, registration
from aizen_hub.problems import BadInput, Conflict, Denied, Escalation, NotAuthenticated, TooManyRequests
from aizen_hub.rbac.identity import Identity
from aizen_hub.rbac.role import SYSTEM
from aizen_hub.store import tables
from aizen_hub.store.actor import Actor, Channel
from tests.accounts.harness import HUB, OPERATOR, AccountsHarness

PASSWORD = "quite long, 7 words of it, unguessed"
MAIL = {"mail": {"host": "127.0.0.1", "sender": "aizen@example.org"}}


@pytest.fixture
def office(make_harness: Callable[..., AccountsHarness]) -> AccountsHarness:
    """`admin` registered `lena`, who works in `p1`; `desk` only registers users, `olga` is another admin."""
    harness = make_harness(alerts=MAIL)
    harness.register_users("desk", "olga", "paul")
    harness.create_project("p1", "paul")
    harness.execute(OPERATOR, custom_roles.create_role, "DESK", permissions=["manage:users"], scopes=["system"])
    harness.grant("DESK", SYSTEM, "desk")
    harness.grant("AIZEN_ADMIN", SYSTEM, "olga")
    register(harness, "admin", "lena")
    return harness


def register(harness: AccountsHarness, who: str, name: str) -> str:
    email = f"{name}@example.org"
    result = harness.execute(who, registration.create_user, name, provider="local", email=email)
    return str(result.data["activation"]["token"])


def activate(harness: AccountsHarness, token: str) -> None:
    harness.execute(HUB, activation.redeem_link, token, PASSWORD)


def renew(harness: AccountsHarness, who: str, name: str = "lena", **options: Any) -> mailed_links.MailedLink | str:
    """Return the link that is sent, or else the token that is shown."""
    outgoing: list[mailed_links.MailedLink] = []
    result = harness.execute(harness.actor(who), mailed_links.renew_link, name, outgoing, **options)
    if outgoing:
        (mailed,) = outgoing
        assert mailed.link.token not in repr(result) + repr(mailed)
        return mailed
    return str(result.data["activation"]["token"])


@pytest.mark.proves("R66")
def test_a_fresh_account_gets_a_new_link_from_who_registers(office: AccountsHarness) -> None:
    """Also after a project gave it a role that the registrar does not have."""
    token = renew(office, "desk")
    assert isinstance(token, str)
    office.grant("PROJECT_EXECUTOR", "p1", "lena")
    token = renew(office, "admin")
    assert isinstance(token, str)
    activate(office, token)


@pytest.mark.proves("R66", "R67", "R68")
def test_a_fresh_account_with_more_rights_than_its_registrar_can_give_is_not_taken_over(
    office: AccountsHarness,
) -> None:
    office.grant("AIZEN_ADMIN", SYSTEM, "lena")
    mailed = renew(office, "desk")
    assert isinstance(mailed, mailed_links.MailedLink), "sent to lena, and not shown"
    assert mailed.address == "lena@example.org"


@pytest.mark.proves("R66", "R67")
def test_a_lost_password_is_mended_by_mail(office: AccountsHarness) -> None:
    """An admin has no right in `p1`, and still helps a member of it who forgot the password."""
    activate(office, str(renew(office, "admin")))
    office.grant("PROJECT_ADMIN", "p1", "lena")
    mailed = renew(office, "olga")
    assert isinstance(mailed, mailed_links.MailedLink)
    assert mailed.address == "lena@example.org"
    text = mailed_links.compose_link_mail(mailed, "https://hub.example/services/aizen/").body
    assert f"https://hub.example/services/aizen/activate#{mailed.link.token}" in text
    assert mailed.link.path in mailed_links.compose_link_mail(mailed, "").body
    with office.read() as tx:
        assert mailed.link.token not in repr(office.state()) + repr(tx.conn.execute(tables.audit.select()).all())
    with pytest.raises(TooManyRequests):
        renew(office, "olga")
    activate(office, mailed.link.token)


@pytest.mark.proves("R66")
def test_who_controls_the_account_is_shown_the_link(office: AccountsHarness) -> None:
    activate(office, str(renew(office, "admin")))
    assert isinstance(renew(office, "desk"), str), "lena has no right"
    assert isinstance(renew(office, "olga", by_mail=True), mailed_links.MailedLink), "unless it is to be sent"


@pytest.mark.proves("R66", "R68")
@pytest.mark.parametrize("channel", [Channel.KERNEL, Channel.CLI])
def test_an_address_that_another_user_set_afterwards_receives_no_link(
    office: AccountsHarness, channel: Channel
) -> None:
    activate(office, str(renew(office, "admin")))
    office.grant("PROJECT_ADMIN", "p1", "lena")
    office.execute("admin", profiles.update_user, "lena", email="lena@example.org")
    assert isinstance(renew(office, "admin"), mailed_links.MailedLink), "that was no change"
    office.execute(office.actor("admin", channel), profiles.update_user, "lena", email="mine@example.org")
    for who in ("admin", "olga"):
        with pytest.raises(Escalation, match="was not registered by `lena`") as caught:
            renew(office, who)
        assert caught.value.remedy == "run `aizen-hub reset-password lena` on the service's machine"
    office.execute("lena", profiles.update_user, "lena", email="mine@example.org")
    office.execute(OPERATOR, lambda tx: tx.conn.execute(tables.activations.delete()))
    assert isinstance(renew(office, "olga"), mailed_links.MailedLink), "lena confirmed it"


@pytest.mark.proves("R66", "R68")
def test_a_program_of_the_user_changes_no_address_for_links(office: AccountsHarness) -> None:
    activate(office, str(renew(office, "admin")))
    office.grant("PROJECT_ADMIN", "p1", "lena")
    office.execute(office.actor("lena", Channel.KERNEL), profiles.update_user, "lena", email="thief@example.org")
    with pytest.raises(Escalation):
        renew(office, "olga")
    office.execute(office.actor("lena", Channel.CLI), profiles.update_user, "lena", email="mine@example.org")
    assert isinstance(renew(office, "olga"), mailed_links.MailedLink)


@pytest.mark.proves("R66", "R68")
def test_a_registrar_who_chose_the_address_takes_over_no_promoted_account(office: AccountsHarness) -> None:
    """Neither with a link asked for before the promotion, nor with one asked for afterwards."""
    activate(office, register(office, "desk", "mia"))
    early = renew(office, "desk", "mia", by_mail=True)
    assert isinstance(early, mailed_links.MailedLink)
    office.grant("AIZEN_ADMIN", SYSTEM, "mia")
    with pytest.raises(NotAuthenticated):
        activate(office, early.link.token)
    with pytest.raises(Escalation):
        renew(office, "desk", "mia")
    office.execute(OPERATOR, lambda tx: tx.conn.execute(tables.activations.delete()))
    with pytest.raises(Conflict, match="was not registered by `mia`"):
        renew(office, "olga", "mia", by_mail=True)
    office.execute("mia", profiles.update_user, "mia", email="mia@example.org")
    assert isinstance(renew(office, "olga", "mia", by_mail=True), mailed_links.MailedLink), "mia confirmed the address"


@pytest.mark.proves("R66", "R68")
def test_an_account_never_activated_is_not_taken_over_by_an_address(office: AccountsHarness) -> None:
    """A user who changes the address cannot let another identity ask for the link, not even one of their own."""
    office.execute(
        "olga", registration.create_user, "gil", provider="local", email="gil@example.org", roles=["AIZEN_ADMIN"]
    )
    early = renew(office, "desk", "gil")
    assert isinstance(early, mailed_links.MailedLink), "to the address that olga chose"
    office.execute("desk", profiles.update_user, "gil", email="thief@example.org")
    office.execute(OPERATOR, accounts.create_service_account, "robot")
    office.grant("DESK", SYSTEM, Identity.service_account("robot"))
    robot = Actor(Identity.service_account("robot"), Channel.SERVICE_ACCOUNT)
    for actor in (office.actor("desk"), robot):
        with pytest.raises(Escalation, match="was not registered by `gil`"):
            office.execute(actor, mailed_links.renew_link, "gil", [])
    with pytest.raises(NotAuthenticated):
        activate(office, early.link.token)


@pytest.mark.parametrize("obstacle", ["no mail server", "no address"])
def test_an_obstacle_is_named_with_what_helps(make_harness: Callable[..., AccountsHarness], obstacle: str) -> None:
    harness = make_harness(**({} if obstacle == "no mail server" else {"alerts": MAIL}))
    harness.register_users("paul")
    harness.create_project("p1", "paul")
    email = None if obstacle == "no address" else "lena@example.org"
    result = harness.execute("admin", registration.create_user, "lena", provider="local", email=email)
    activate(harness, result.data["activation"]["token"])
    with pytest.raises(Conflict):
        renew(harness, "admin", by_mail=True)
    harness.grant("PROJECT_ADMIN", "p1", "lena")
    with pytest.raises(Escalation) as caught:
        renew(harness, "admin")
    assert ("no mail server is configured" if email else "no registered e-mail address") in caught.value.detail
    assert "aizen-hub reset-password lena" in str(caught.value.remedy)
    with pytest.raises(Denied):
        renew(harness, "paul")
    activate(harness, harness.execute(OPERATOR, activation.issue_link, "lena").token)


def test_a_link_that_was_sent_is_valid_as_long_as_others(office: AccountsHarness) -> None:
    mailed = renew(office, "admin", by_mail=True)
    assert isinstance(mailed, mailed_links.MailedLink)
    assert mailed.link.expires - office.now() > timedelta(hours=23)
    with pytest.raises(BadInput):
        office.execute(HUB, activation.redeem_link, mailed.link.token, "short")
    activate(office, mailed.link.token)
