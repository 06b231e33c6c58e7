"""A project with members of every kind, for the tests of the pages about projects and roles."""

from __future__ import annotations

import re
from datetime import timedelta
from urllib.parse import unquote

from aizen_hub.accounts.groups import management, membership
from aizen_hub.accounts.projects import lifecycle
from aizen_hub.accounts.roles import assignments, custom_roles
from aizen_hub.accounts.service_accounts import accounts
from aizen_hub.accounts.users import registration
from aizen_hub.rbac.assignment import Interval
from aizen_hub.rbac.identity import Identity
from aizen_hub.store import tables
from aizen_hub.store.transaction import WriteTransaction
from tests.fixtures.browser.panel import PanelService
from tests.service.conftest import Response
from tests.service.panel.window import PREFIX

PEOPLE = {"paul": "Paul Lindqvist", "rita": "Rita Sandoval", "bea": "Beatriz Costa", "sam": "Sam Adeyemi"}


def seed(tx: WriteTransaction) -> None:
    """Make ``churn`` of ``carol``: ``paul`` is admin, ``rita`` reads, ``bea`` executes, ``sam`` does by a group."""
    for name, display_name in {"carol": "Carol Okafor", **PEOPLE}.items():
        registration.create_user(tx, name, provider="lab", display_name=display_name)
    lifecycle.create_project(
        tx, "churn", owner=Identity.user("carol"), description="Which customers are about to leave?"
    )
    management.create_group(tx, "crew")
    membership.add_member(tx, "crew", Identity.user("sam"))
    accounts.create_service_account(tx, "nightly")
    custom_roles.create_role(
        tx, "LABELLER", permissions=["read:dataset", "write:dataset"], description="Labels data sets"
    )
    soon = Interval(ends=tx.now + timedelta(days=5))
    for role, holder, interval in (
        ("PROJECT_ADMIN", Identity.user("paul"), Interval()),
        ("PROJECT_READER", Identity.user("rita"), Interval()),
        ("PROJECT_EXECUTOR", Identity.user("bea"), soon),
        ("PROJECT_EXECUTOR", Identity.group("crew"), Interval()),
        ("PROJECT_READER", Identity.service_account("nightly"), Interval()),
    ):
        assignments.unauthorized_write_assignment(tx, role, "churn", holder, interval=interval, reason="seeded")


def assignment_id(panel: PanelService, identity: str, role: str, project: str = "churn") -> int:
    """Return the id of an assignment; 0 if there is none."""
    a = tables.assignments
    with panel.store.read() as tx:
        query = a.select().where(a.c.identity == identity, a.c.role == role, a.c.scope == project)
        row = tx.conn.execute(query).first()
        return 0 if row is None else int(row.id)


def roles_of(panel: PanelService, name: str, project: str = "churn") -> set[str]:
    """Return the roles that a user has in the project now."""
    with panel.store.read() as tx:
        rights = tx.rights(Identity.user(name))
        return {held.role for held in rights.held_roles if held.scope == project and held.is_effective(tx.now)}


def post(panel: PanelService, user: str, page: str, *fields: tuple[str, str], **named: str) -> Response:
    """Send a form as a user, with the token of the pages."""
    window = panel.window(user)
    form = [("xsrf", panel.run(window.xsrf())), *fields, *named.items()]
    response: Response = panel.run(window.post(page, form))
    return response


def status(panel: PanelService, user: str, page: str) -> int:
    """Return the status of a page."""
    return int(panel.run(panel.window(user).get(page)).status)


def location(response: Response) -> str:
    """Return where a form led, below the prefix; it must have been accepted."""
    assert response.status == 303, response.body.decode()
    return unquote(response.headers["Location"].removeprefix(PREFIX))


def hidden_fields(page: str) -> dict[str, str]:
    """Return what the form that lifts a lock sends to tell the lock that the page showed."""
    return dict(re.findall(r'name="(target|locked)" value="([^"]+)"', page))


def undo(panel: PanelService, user: str, page: str) -> Response:
    """Press *Undo* in the toast of the next page."""
    match = re.search(r'name="undo" value="([0-9a-f]+)"', panel.get(user, page))
    assert match is not None
    return post(panel, user, "undo", undo=match.group(1), back=PREFIX + page)


def words(text: str) -> str:
    """Return the text of a page without its markup."""
    return " ".join(re.sub(r"<[^>]+>", " ", text).split())
