"""Page *Home*: who is led to it, and what it shows to whom."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from sqlalchemy import insert

from aizen_hub.accounts.reviews import lifecycle
from aizen_hub.accounts.roles import access_requests, assignments
from aizen_hub.rbac.assignment import Interval
from aizen_hub.rbac.identity import Identity
from aizen_hub.service.factory import SERVICE_ACTOR
from aizen_hub.service.panel.home import facts
from aizen_hub.service.panel.home import routes as home_routes
from aizen_hub.service.panel.system import overview
from aizen_hub.service.panel.visibility import Viewer
from aizen_hub.store import tables
from aizen_hub.store.actor import Actor, Channel
from aizen_hub.store.transaction import WriteTransaction
from tests.fixtures.browser.panel import PanelService
from tests.service.panel.people.test_person import text_of
from tests.service.panel.window import PREFIX
from tests.store.query_plans import query_plans

COMMAND = "start training"


def seed(tx: WriteTransaction) -> None:
    for name, role, scope, days in (
        ("nil", "PROJECT_READER", "p1", 3),
        ("zoe", "PROJECT_READER", "p1", 13),
        ("maker", "PROJECT_READER", "p1", 15),
        ("eve", "PROJECT_READER", "p2", 5),
        ("nil", "PROJECT_CREATOR", "system", 6),
    ):
        ends = Interval(None, tx.now + timedelta(days=days))
        assignments.unauthorized_write_assignment(tx, role, scope, Identity.user(name), interval=ends, reason="test")


@pytest.fixture(scope="module")
def busy_panel(panel: PanelService) -> PanelService:
    """Requests of `rob`, and refused commands of `rob` in p1 and of `zoe` in p2."""
    with panel.store.write(Actor(Identity.user("rob"), Channel.PANEL)) as tx:
        access_requests.request_access(tx, "PROJECT_EXECUTOR", "p1", reason="<i>because</i>")
    for user, project, times in (("rob", "p1", 3), ("zoe", "p2", 1)):
        session = panel.run(panel.driver.open(user, project))
        for _ in range(times):
            command = COMMAND if user == "rob" else "add users ./x.json"
            assert not panel.run(panel.driver.command(session, command)).json.get("allowed", False)
    return panel


def state_of(page: str, name: str) -> tuple[str, str]:
    """Return the sentence and the badge of a row of the card *System*."""
    row = page.partition(f"<b>{name}</b>")[2].partition("</li>")[0]
    sentence, _, badge = row.partition("</div>")
    return " ".join(re.sub(r"<[^>]*>", " ", sentence).split()), " ".join(re.sub(r"<[^>]*>", " ", badge).split())


@pytest.mark.parametrize(
    ("user", "page"), [("boss", "home"), ("ada", "home"), ("eve", "me"), ("nil", "me"), ("maker", "me")]
)
def test_the_root_leads_to_the_first_page(panel: PanelService, user: str, page: str) -> None:
    response = panel.run(panel.window(user).get(""))
    assert (response.status, response.headers["Location"]) == (303, PREFIX + page)


def test_requests_and_refusals_of_a_project_are_shown_to_its_admin(busy_panel: PanelService) -> None:
    page = busy_panel.get("ada", "home")
    assert "1 request waits for you." in page
    assert "&lt;i&gt;because&lt;/i&gt;" in page
    assert COMMAND in page
    assert "Directory" not in page
    assert "Signing keys" not in page


def test_an_administrator_sees_the_state_of_the_service(busy_panel: PanelService) -> None:
    page = busy_panel.get("boss", "home")
    for text in ("Directory", "Signing keys", "Signed", "none waiting", "No request and no pending change"):
        assert text in page, text
    assert "Not used for 45 days" in page
    assert state_of(page, "Replicas") == ("1 process runs", "Working")


@pytest.mark.proves("R72")
@pytest.mark.parametrize(
    ("user", "ending", "refused"),
    [
        ("boss", {("nil", "p1"), ("eve", "p2"), ("nil", "system"), ("zoe", "p1")}, {"p1": 3, "p2": 1}),
        ("ada", {("nil", "p1"), ("zoe", "p1")}, {"p1": 3}),
        ("zoe", {("eve", "p2")}, {"p2": 1}),
        ("eve", set(), None),
    ],
)
def test_each_viewer_sees_what_ends_and_what_was_refused_in_their_projects(
    busy_panel: PanelService, user: str, ending: set[tuple[str, str]], refused: dict[str, int] | None
) -> None:
    with busy_panel.store.read_as(Actor(Identity.user(user), Channel.PANEL)) as tx:
        viewer = Viewer(tx)
        soon = facts.read_ending(viewer, 10)
        refusals = facts.read_refusals(viewer)
    assert {(row.identity.removeprefix("user:"), row.scope) for row in soon.rows} == ending
    assert soon.total == len(ending)
    if refused is None:
        assert refusals is None
    else:
        assert refusals is not None
        assert {row.project: row.count for row in refusals.rows if row.command} == refused
        assert refusals.only_newest is None


def test_a_list_that_is_cut_has_the_exact_count(panel: PanelService) -> None:
    with panel.store.read_as(Actor(Identity.user("boss"), Channel.PANEL)) as tx:
        assert (len(facts.read_ending(Viewer(tx), 2).rows), facts.read_ending(Viewer(tx), 2).total) == (2, 4)


def test_the_examined_decisions_are_bounded_and_said(busy_panel: PanelService, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(facts, "MAX_EXAMINED", 2)
    with busy_panel.store.read_as(Actor(Identity.user("boss"), Channel.PANEL)) as tx:
        refusals = facts.read_refusals(Viewer(tx))
    assert refusals is not None
    assert refusals.only_newest == 2
    assert "Counted in the newest 2 decisions only." in busy_panel.get("boss", "home")


def test_looking_at_it_is_recorded_once(panel: PanelService) -> None:
    def recorded() -> int:
        with panel.store.read() as tx:
            rows = tx.conn.execute(tables.audit.select().where(tables.audit.c.event == "access.read")).all()
        return sum(b'"query":"home"' in bytes(row.body) for row in rows)

    before = recorded()
    panel.get("boss", "home")
    assert recorded() == before + 1


def test_a_role_that_ends_can_be_extended_from_there(panel: PanelService) -> None:
    page = panel.get("ada", "home")
    (address,) = set(re.findall(rf'href="{PREFIX}(give\?role=PROJECT_READER&amp;to=nil&amp;project=p1)"', page))
    assert panel.run(panel.window("ada").get(address.replace("&amp;", "&"))).status == 200


def test_people_who_ask_to_be_registered_are_shown_and_dismissed(panel: PanelService) -> None:
    body = {"provider": "lab", "name": "dora", "display_name": "<b>Dora</b>", "email": None}
    assert panel.run(panel.driver.hub("POST", "/login/registrations", body)).status == 204
    page = panel.get("boss", "home")
    assert "Asking to be registered" in page
    assert "&lt;b&gt;Dora" in page
    assert f'href="{PREFIX}people/-/new?name=dora&amp;provider=lab' in page
    form = panel.get("boss", "people/-/new?name=dora&provider=lab&display_name=%3Cb%3EDora")
    assert 'value="dora"' in form
    assert 'value="&lt;b&gt;Dora"' in form
    assert "dora" not in text_of(panel.get("ada", "home"))
    assert "1 person asks to be registered." in page
    # The badge of *Home* is on every page of those who may register people.
    badge = 'Home<span class="az-count">1<span class="visually-hidden"> waiting</span></span>'
    assert [badge in panel.get(user, "me") for user in ("boss", "ada")] == [True, False]
    token = re.search(r'name="xsrf" value="([^"]+)"', page)
    assert token is not None
    form = {"provider": "lab", "name": "dora", "xsrf": token[1]}
    assert panel.run(panel.window("boss").post("registrations/dismiss", form)).status == 303
    assert "Asking to be registered" not in panel.get("boss", "home")
    assert badge not in panel.get("boss", "me")


def test_how_fast_a_directory_answered_is_shown(panel: PanelService) -> None:
    assert "answered in" not in panel.get("boss", "home")
    panel.driver.context.state.response_times.add("lab", 0.021)
    assert "answered in 21 ms in the last hour" in panel.get("boss", "home")


def test_a_replica_that_lags_or_whose_clock_is_wrong_is_named(
    panel: PanelService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(overview, "MAX_BEHIND", 0)
    with panel.store.write(SERVICE_ACTOR) as tx:
        for host, behind, offset in (("far", 1, 0.0), ("late", 0, 7.5), ("good", 0, 0.0)):
            report = {"instance": host, "host": host, "started": tx.now, "seen": tx.now, "configuration": {}}
            tx.conn.execute(
                insert(tables.replicas).values(revision=tx.revision - behind, clock_offset=offset, **report)
            )
    sentence, badge = state_of(panel.get("boss", "home"), "Replicas")
    assert sentence.startswith("3 processes run")
    assert "far: 1 revision behind at its last report" in sentence
    assert "late: its clock is +7.5 s off the database" in sentence
    assert "good" not in sentence
    assert badge == "Behind"


def test_lists_that_are_cut_say_so(panel: PanelService, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("dan", "dea"):
        body = {"provider": "lab", "name": name, "display_name": "", "email": None}
        assert panel.run(panel.driver.hub("POST", "/login/registrations", body)).status == 204
    for scope in ("p1", "p2"):
        panel.write("ada" if scope == "p1" else "zoe", lambda tx, scope=scope: lifecycle.start_review(tx, scope))
    page = panel.get("boss", "home")
    assert "The newest" not in page
    assert "that are due first" not in page
    monkeypatch.setattr(home_routes, "_SHOWN", 1)
    monkeypatch.setattr(home_routes, "_SHOWN_REGISTRATIONS", 1)
    page = panel.get("boss", "home")
    assert "The newest 1 of 2; the others follow" in page
    assert "The 1 that are due first of 2; each project" in page


def test_the_people_of_each_provider_are_counted_from_an_index(panel: PanelService) -> None:
    with panel.store.read() as tx:
        plans = query_plans(tx.conn, lambda: facts.read_providers(tx, ()))
    assert list(plans.values()) == [["SCAN users USING COVERING INDEX ix_users_provider_last_seen"]]
