"""What a viewer may see: all for those who manage users or read all access, else their own projects (R72)."""

from __future__ import annotations

import re
from collections.abc import Callable
from urllib.parse import urlencode

import pytest

from aizen_hub.accounts.groups import management
from aizen_hub.accounts.roles import assignments
from aizen_hub.problems import NotFound
from aizen_hub.rbac.identity import Identity
from aizen_hub.service.http.route import AuthMethod, Route
from aizen_hub.service.panel.visibility import Viewer
from aizen_hub.service.routes import routes
from aizen_hub.store.actor import Actor, Channel
from aizen_hub.store.transaction import WriteTransaction
from tests.fixtures.browser.panel import PanelService

LABELLERS, INNER = Identity.group("labellers"), Identity.group("inner")


def seed(tx: WriteTransaction) -> None:
    """In p1 the group `labellers` is reader; `nil` is in it through `inner`."""
    from sqlalchemy import insert, select

    from aizen_hub.store import tables

    management.create_group(tx, "labellers")
    management.create_group(tx, "inner")
    management.create_group(tx, "others")
    for group, member in (("labellers", INNER), ("inner", Identity.user("nil"))):
        group_id = tx.conn.execute(select(tables.groups.c.id).where(tables.groups.c.name == group)).scalar_one()
        tx.conn.execute(insert(tables.memberships).values(group_id=group_id, member=str(member)))
    assignments.unauthorized_write_assignment(tx, "PROJECT_READER", "p1", LABELLERS, reason="test")


def view(panel: PanelService, user: str, look: Callable[[Viewer], object]) -> object:
    with panel.store.read_as(Actor(Identity.user(user), Channel.PANEL)) as tx:
        return look(Viewer(tx))


@pytest.mark.proves("R72")
@pytest.mark.parametrize(
    ("user", "projects", "people", "groups", "service_accounts"),
    [
        ("boss", None, None, None, None),
        ("ada", {"p1"}, {"ada", "eve", "rob", "nil"}, {"labellers", "inner"}, set()),
        ("zoe", {"p2"}, {"zoe"}, set(), set()),
        ("eve", set(), {"eve"}, set(), set()),
        ("maker", set(), {"maker"}, set(), set()),
        ("nil", set(), {"nil"}, {"inner", "labellers"}, set()),
    ],
)
def test_each_viewer_sees_their_projects(
    panel: PanelService,
    user: str,
    projects: set[str] | None,
    people: set[str] | None,
    groups: set[str] | None,
    service_accounts: set[str] | None,
) -> None:
    def look(viewer: Viewer) -> object:
        return viewer.projects, viewer.people, viewer.groups, viewer.service_accounts, viewer.is_manager

    assert view(panel, user, look) == (projects, people, groups, service_accounts, projects is None or bool(projects))


@pytest.mark.proves("R72")
@pytest.mark.parametrize("name", ["p2", "nowhere"])
def test_a_project_that_is_hidden_is_one_that_does_not_exist(panel: PanelService, name: str) -> None:
    errors = []
    for user in ("ada", "eve"):
        with pytest.raises(NotFound) as error:
            view(panel, user, lambda viewer: viewer.require_project(name))
        errors.append((error.value.detail, error.value.remedy))
    assert len(set(errors)) == 1
    assert view(panel, "zoe", lambda viewer: viewer.require_project("p2")) is None


@pytest.mark.proves("R72")
@pytest.mark.parametrize("identity", ["user:zoe", "user:none", "group:others", "service-account:robot"])
def test_an_identity_that_is_hidden_is_one_that_does_not_exist(panel: PanelService, identity: str) -> None:
    with pytest.raises(NotFound, match="no such page"):
        view(panel, "ada", lambda viewer: viewer.require_identity(Identity.parse(identity)))
    view(panel, "boss", lambda viewer: viewer.require_identity(Identity.parse(identity)))


@pytest.mark.parametrize(("user", "labels"), [("boss", ["Mine", "Manage"]), ("eve", ["Mine"])])
def test_the_navigation_shows_a_group_only_where_it_holds_something(
    panel: PanelService, user: str, labels: list[str]
) -> None:
    from aizen_hub.service.panel.navigation import navigation

    shown = view(panel, user, navigation)
    assert isinstance(shown, tuple)
    assert [label for label, _ in shown] == labels


_HIDDEN = {"people": "boss", "groups": "others", "service-accounts": "robot", "projects": "p2", "me": "p2"}
"""By the first segment of an address: what `rob`, a reader of p1, does not see."""
_MISSING = "ghost"
_VALUES = {
    "who": "eve",
    "member": "user:zoe",
    "role": "PROJECT_READER",
    "give_role": "PROJECT_READER",
    "new_role": "PROJECT_ADMIN",
    "scope": "p2",
    "until": "none",
    "reason": "test",
    "stop_reason": "test",
    "confirmed": "yes",
    "kind": "jobs",
    "holder": "eve",
    "action": "remove",
    "provider": "lab",
    "subject": "x",
    "credential": "1",
    "login": "1",
    "config": "[]",
    "other": "eve",
    "give": "PROJECT_READER",
}


def _request(panel: PanelService, route: Route, name: str) -> tuple[int, str]:
    """Return the answer to a request of `rob` about an object, without the name of that."""
    params = iter((name, *("1",) * 5))
    page = re.sub(r"\{[a-z]+\}", lambda _: next(params), route.path).lstrip("/")
    schema = route.query if route.method == "GET" else route.body
    given = {} if schema is None else {field: _VALUES[field] for field in schema.model_fields if field in _VALUES}
    given |= {field: name for field in ("typed_name", "confirm") if schema and field in schema.model_fields}
    if route.method == "GET":
        response = panel.run(panel.window("rob").get(f"{page}?{urlencode(given)}" if given else page))
    else:
        response = panel.post("rob", page, given)
    return response.status, re.sub(r"<[^>]*>", "", response.body.decode()).replace(name, "")


@pytest.mark.proves("R72")
def test_every_address_answers_for_a_hidden_object_as_for_a_missing_one(panel: PanelService) -> None:
    """A page or a form that told them apart would tell who and what exists."""
    panel.get("rob", "me")
    checked, different = 0, []
    for route in routes():
        hidden = _HIDDEN.get(route.path.split("/")[1])
        if (
            AuthMethod.BROWSER not in route.auth
            or "{" not in route.path
            or hidden is None
            or "/-/import/" in route.path
        ):
            continue
        checked += 1
        answers = [_request(panel, route, name) for name in (hidden, _MISSING)]
        if answers[0] != answers[1] or answers[0][0] not in (403, 404):
            different.append((route.method, route.path, answers))
    assert checked > 50
    assert different == []
