"""A person's account: contact data, links, logins and deletion, each with the checks of its command."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest

from aizen_hub.accounts.credentials import mailed_links
from aizen_hub.accounts.identities import user_exists
from aizen_hub.accounts.users import registration
from aizen_hub.commands.result import message_result
from aizen_hub.service.link_mailer import LinkMailer
from aizen_hub.store import tables
from aizen_hub.store.transaction import WriteTransaction
from tests.fixtures.browser.panel import PanelService
from tests.service.panel.people.test_person import text_of


def seed(tx: WriteTransaction) -> None:
    registration.create_user(tx, "lena", provider="lab")
    registration.create_user(tx, "fresh")


def column(panel: PanelService, name: str, column_name: str) -> object:
    with panel.store.read() as tx:
        row = tx.conn.execute(tables.users.select().where(tables.users.c.name == name)).one()
        return getattr(row, column_name)


def test_contact_data_is_saved_and_errors_stand_beside_their_field(panel: PanelService) -> None:
    form = {"display_name": "Rob Sandoval", "email": "rob@acme.example", "phone": ""}
    assert panel.post("boss", "people/rob/account", form).status == 303
    assert column(panel, "rob", "email") == "rob@acme.example"
    response = panel.post("boss", "people/rob/account", form | {"email": "no address", "display_name": "Typed"})
    assert response.status == 422
    assert 'value="Typed"' in response.body.decode()
    assert column(panel, "rob", "display_name") == "Rob Sandoval"


def test_a_link_is_shown_once_and_only_to_who_may_see_it(panel: PanelService) -> None:
    response = panel.post("boss", "people/fresh/link", {})
    assert response.status == 200
    assert re.search(r"/services/aizen/activate#\S+", response.body.decode())
    assert "activate#" not in panel.get("boss", "people/fresh/account")
    refused = panel.post("boss", "people/ada/link", {})  # boss has no right inside p1
    assert refused.status == 422
    assert "activate#" not in refused.body.decode()


def test_a_directory_account_has_no_password_here(panel: PanelService) -> None:
    page = text_of(panel.get("boss", "people/lena/account"))
    assert "Create a link" not in page
    assert "bound at the first sign-in" in page


def test_a_login_is_linked_and_removed(panel: PanelService) -> None:
    panel.sign_in_again("boss")
    assert panel.post("boss", "people/nil/logins", {"provider": "lab", "subject": "uuid-17"}).status == 303
    page = panel.get("boss", "people/nil/account")
    assert "uuid-17" in page
    login = re.search(r'name="login" value="(\d+)"', page)
    assert login is not None
    taken = panel.post("boss", "people/lena/logins", {"provider": "lab", "subject": "uuid-17"})
    assert taken.status == 422
    assert panel.post("boss", "people/nil/logins/unlink", {"login": login.group(1)}).status == 303
    assert "uuid-17" not in panel.get("boss", "people/nil/account")


def test_a_person_is_deleted_after_the_name_was_typed(panel: PanelService) -> None:
    panel.write("boss", lambda tx: registration.create_user(tx, "guest", provider="lab"))
    refused = panel.post("boss", "people/guest/delete", {"typed_name": "gust"})
    assert refused.status == 422
    assert panel.post("boss", "people/guest/delete", {"typed_name": "guest"}).status == 303
    with panel.store.read() as tx:
        assert not user_exists(tx, "guest")
    assert panel.post("boss", "people/guest/delete", {"typed_name": "guest"}).status in (303, 404)


def test_a_link_is_mailed_beyond_the_deadline_of_a_request(
    panel: PanelService, monkeypatch: pytest.MonkeyPatch
) -> None:
    mailed = asyncio.Event()

    async def send_slowly(*_: Any) -> None:
        await asyncio.sleep(panel.driver.context.settings.service.deadline_seconds + 0.5)
        mailed.set()

    # No mail server runs here; `tests/accounts/credentials` tests what is sent.
    monkeypatch.setattr(LinkMailer, "send", send_slowly)
    monkeypatch.setattr(mailed_links, "renew_link", lambda *_, **__: message_result("sent an activation link"))
    response = panel.post("boss", "people/ada/mail-link", {})
    assert response.status == 303
    assert mailed.is_set()
    assert "Sent an activation link." in panel.get("boss", "people/ada/account")


@pytest.mark.parametrize("viewer", ["ada", "rob"])
@pytest.mark.parametrize(
    ("page", "form"),
    [
        ("account", {"display_name": "x"}),
        ("link", {}),
        ("logins", {"provider": "lab", "subject": "s"}),
        ("no-codes", {}),
        ("delete", {"typed_name": "nil"}),
    ],
)
@pytest.mark.proves("R60")
def test_those_who_manage_no_users_change_nothing(
    panel: PanelService, viewer: str, page: str, form: dict[str, str]
) -> None:
    assert panel.post(viewer, f"people/nil/{page}", form).status in (403, 404)
    assert column(panel, "nil", "display_name") == ""
