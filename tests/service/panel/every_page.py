"""Every page of the panel, with who opens it, and objects whose stored texts are hostile."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from datetime import timedelta

import yaml

from aizen_hub.accounts.groups import management, mapping_rules, membership
from aizen_hub.accounts.logins import linked_logins
from aizen_hub.accounts.projects import lifecycle
from aizen_hub.accounts.reviews import lifecycle as reviews
from aizen_hub.accounts.roles import access_requests, assignments, custom_roles, permissions
from aizen_hub.accounts.service_accounts import accounts
from aizen_hub.accounts.sessions import locks
from aizen_hub.accounts.users import profiles, registration
from aizen_hub.rbac.assignment import Interval, LockTarget
from aizen_hub.rbac.identity import Identity
from aizen_hub.service.http.route import Route
from aizen_hub.service.panel.pages import IN_BROWSER
from aizen_hub.service.routes import routes
from aizen_hub.store import tables
from aizen_hub.store.actor import Actor, Channel
from aizen_hub.store.transaction import WriteTransaction
from aizen_hub.validation.prose import MAX_PROSE
from tests.fixtures.browser.panel import PanelService

TIMEOUT_S = 30
INJECTED = "az-injected"
_MARKUP = f'<img src=x class={INJECTED} onerror="alert(1)"></textarea><b class={INJECTED}>&lt;\u202egnp\u2066'
HOSTILE = _MARKUP + "w" * (MAX_PROSE - len(_MARKUP))
"""Markup, characters that turn the direction of writing, and a word as long as a stored text may be."""
HOSTILE_GROUP = f"cn=<b class={INJECTED}>\u202e" + "w" * 120
LONG_NAME, LONG_ROLE = "w" * 40, "A" * 31 + "_" + "B" * 32
IDS: dict[str, object] = {}
"""Ids of the seeded objects, by the names that addresses have for them."""

PAGES: Mapping[str, tuple[tuple[str, str], ...]] = {
    "/": (("", "eve"),),
    "/home": (("home", "boss"), ("home", "ada")),
    "/search": (("search", "eve"), ("search?q=w&as_typed=1", "boss")),
    "/me": (("me", "eve"), ("me", "nil"), ("me", LONG_NAME)),
    "/me/ask": (
        ("me/ask", "nil"),
        ("me/ask?project=p1&role=PROJECT_READER&for=4h&because=w", "nil"),
        ("me/ask?role=X", LONG_NAME),
    ),
    "/me/ask/deciders": (
        ("me/ask/deciders?project=p1&role=PROJECT_EXECUTOR", "rob"),
        ("me/ask/deciders?project=p1&role=PROJECT_READER", "nil"),
    ),
    "/me/requests": (("me/requests", "rob"),),
    "/me/sessions": (("me/sessions", "eve"),),
    "/me/commands/{project}": (("me/commands/p1", "eve"),),
    "/me/leave/{project}": (("me/leave/p1", "eve"),),
    "/command-line": ((f"command-line?challenge={'w' * 43}&state={'s' * 20}&port=4711", "eve"),),
    # It answers the hub's redirect only: see tests/e2e/test_command_line_sign_in.py.
    "/command-line/done": (),
    "/account": (("account", "eve"), ("account", LONG_NAME)),
    "/account/alerts": (("account/alerts", "eve"), ("account/alerts", "nil")),
    "/account/alerts/{project}": (("account/alerts/p1", "eve"),),
    "/requests": (("requests", "ada"), ("requests", "boss")),
    "/requests/{request}": (("requests/{request}", "ada"), ("requests/{request}", "rob")),
    "/changes/{change}": (("changes/{change}", "boss"),),
    "/audit": (("audit?when=all", "boss"), ("audit?when=all&q=PROJECT_READER", "boss")),
    "/projects/{project}/audit": (("projects/p1/audit", "ada"),),
    "/projects/{project}/review": (("projects/p1/review", "ada"),),
    "/system/review": (("system/review", "boss"),),
    "/reviews/{review}": (("reviews/{review}", "ada"),),
    "/reviews/{review}/preview": (("reviews/{review}/preview", "ada"),),
    "/why": (
        ("why", "rob"),
        ("why?who=rob&do=start+training&in=p1", "ada"),
        ("why?do=list+trainings&in=p1", "rob"),
        ("why?do=delete+training&in=p1", "eve"),
        ("why?do=grant+role+PROJECT_READER+to+nil&in=p1", "boss"),
        ("why?do=start+training&in=p1&decision={decision}", "rob"),
        (f"why?who={LONG_NAME}&do=list+users&in=p1", "ada"),
    ),
    "/system": (("system", "boss"),),
    "/system/sessions": (("system/sessions", "boss"),),
    "/system/unused": (("system/unused", "boss"),),
    "/system/keys/{purpose}": (("system/keys/role", "boss"),),
    "/directory": (("directory?provider=lab&groups=crew-of-lab", "boss"),),
    "/directory/rules/{rule}": (("directory/rules/{rule}", "boss"),),
    "/policy": (("policy", "boss"),),
    "/directory/read/{operation}": (("directory/read/{reading}", "boss"),),
    "/policy/{operation}": (("policy/{policy}", "boss"),),
    "/people": (("people", "boss"), ("people", "ada")),
    "/people/{name}": (("people/rob", "ada"), (f"people/{LONG_NAME}", "boss"), ("people/erin", "boss")),
    "/people/{name}/account": ((f"people/{LONG_NAME}/account", "boss"), ("people/rob/account", "boss")),
    "/people/{name}/sessions": (("people/eve/sessions", "boss"),),
    "/people/{name}/requests": (("people/rob/requests", "boss"),),
    "/people/{name}/events": ((f"people/{LONG_NAME}/events", "boss"),),
    "/people/{name}/stop": (("people/eve/stop", "boss"),),
    "/people/{name}/restore": (("people/erin/restore", "boss"),),
    "/people/{name}/delete": ((f"people/{LONG_NAME}/delete", "boss"),),
    "/people/{name}/take-away": (("people/rob/take-away?role=PROJECT_READER&scope=p1", "ada"),),
    "/people/-/new": (("people/-/new", "boss"),),
    "/people/-/import": (("people/-/import", "boss"),),
    "/people/-/import/{operation}": (("people/-/import/{import}", "boss"),),
    "/compare": (("compare", "boss"), (f"compare?who=eve&other={LONG_NAME}", "boss")),
    "/locks": (("locks", "boss"),),
    "/locks/{lock}": (("locks/{lock}", "boss"),),
    "/groups": (("groups", "boss"),),
    "/groups/-/new": (("groups/-/new", "boss"),),
    "/groups/{name}": (("groups/team", "boss"),),
    "/groups/{name}/delete": (("groups/team/delete", "boss"),),
    "/groups/{name}/stop": (("groups/team/stop", "boss"),),
    "/groups/{name}/remove": (("groups/team/remove?member=user:{long_name}", "boss"),),
    "/groups/{name}/take-away": (("groups/team/take-away?role=PROJECT_READER&scope=p2", "boss"),),
    "/service-accounts": (("service-accounts", "boss"),),
    "/service-accounts/-/new": (("service-accounts/-/new", "boss"),),
    "/service-accounts/{name}": (("service-accounts/robot", "boss"), ("service-accounts/nightly", "boss")),
    "/service-accounts/{name}/stop": (("service-accounts/nightly/stop", "boss"),),
    "/service-accounts/{name}/delete": (("service-accounts/nightly/delete", "boss"),),
    "/service-accounts/{name}/take-away": (("service-accounts/nightly/take-away?role=PROJECT_READER&scope=p1", "ada"),),
    "/projects": (("projects", "boss"), ("projects", "ada")),
    "/projects/-/new": (("projects/-/new", "maker"),),
    "/projects/{project}": (("projects/p1", "ada"), ("projects/p1", "rob"), ("projects/p2", "boss")),
    "/projects/{project}/members/{assignment}": (("projects/p1/members/{assignment}", "ada"),),
    "/projects/{project}/requests": (("projects/p1/requests", "ada"),),
    "/projects/{project}/settings": (("projects/p1/settings", "boss"),),
    "/projects/{project}/settings/limit": (
        ("projects/p1/settings/limit?holder=group:team,rob&kind=jobs&value=3", "boss"),
        ("projects/p1/settings/limit?holder=rob&kind=memory&value=", "boss"),
    ),
    "/projects/{project}/matrix": (("projects/p1/matrix", "ada"), ("projects/p1/matrix?q=dataset", "ada")),
    "/projects/{project}/matrix/{task}": (("projects/p1/matrix/access", "ada"),),
    "/projects/{project}/matrix/-/people": (("projects/p1/matrix/-/people", "ada"),),
    "/projects/{project}/matrix/-/changes": (("projects/p1/matrix/-/changes", "ada"),),
    "/roles": (("roles", "boss"), ("roles", "eve")),
    "/roles/-/new": (("roles/-/new", "boss"),),
    "/roles/{role}": (("roles/PROJECT_EXECUTOR", "boss"), (f"roles/{LONG_ROLE}", "boss")),
    "/roles/{role}/edit": ((f"roles/{LONG_ROLE}/edit", "boss"),),
    "/permissions": (("permissions", "boss"),),
    "/permissions/delete": (
        ("permissions/delete?name=Lists", "boss"),
        ("permissions/delete?name=5+Job+Limit", "boss"),
    ),
    "/give": (("give", "rob"), (f"give?role=PROJECT_EXECUTOR&to=rob,{LONG_NAME},group:team&project=p1", "ada")),
}
"""Addresses below the prefix and who opens them, by the path of the route; with more than one where pages differ."""

PROBLEMS = (("nothing-here", "eve"), ("people/eev", "boss"), ("projects/p2", "eve"), ("system", "eve"))
"""Addresses that hold nothing for their user."""

PARTS: Mapping[str, tuple[str, str]] = {
    "/suggest": ("suggest?q=w", "boss"),
    "/audit/-/export": ("audit/-/export?when=all", "boss"),
    "/policy/-/export": ("policy/-/export", "boss"),
    "/projects/{project}/members/-/csv": ("projects/p1/members/-/csv", "ada"),
    "/projects/{project}/members/-/preview": ("projects/p1/members/-/preview?who=nil&give_role=PROJECT_READER", "ada"),
    "/projects/{project}/matrix/-/csv": ("projects/p1/matrix/-/csv", "ada"),
}
"""What is no page: files, and parts of pages."""


def page_routes() -> list[Route]:
    """Return the routes of the table that answer a browser with a page, a part of one, or a file."""
    return [route for route in routes() if route.method == "GET" and route.auth == IN_BROWSER]


def address(text: str) -> str:
    """Return an address with the ids of the seeded objects in it."""
    return text.format_map(IDS)


def seed(tx: WriteTransaction) -> None:
    """Give every kind of object a text that is hostile, wherever one can be stored."""
    service, long_user = tx.actor, Identity.user(LONG_NAME)
    IDS["long_name"] = LONG_NAME
    for name in (LONG_NAME, "erin"):
        registration.create_user(tx, name, provider="lab", display_name=HOSTILE)
    linked_logins.link_login(tx, LONG_NAME, "lab", HOSTILE_GROUP)
    for name in ("eve", "rob"):
        profiles.write_profile(tx, name, display_name=HOSTILE, email=None, phone=None, alerts=None)
    management.create_group(tx, "team", description=HOSTILE)
    membership.add_member(tx, "team", long_user)
    accounts.create_service_account(tx, "nightly", description=HOSTILE)
    lifecycle.create_project(tx, "churn", owner=long_user, description=HOSTILE)
    custom_roles.create_role(tx, LONG_ROLE, permissions=["list:users"], description=HOSTILE)
    permissions.create_permission(tx, "Lists", permission="list:users", description=HOSTILE)
    permissions.create_permission(tx, "5 Job Limit", limit="jobs", value=5)
    soon = Interval(ends=tx.now + timedelta(days=5))
    for role, scope, holder in (
        (LONG_ROLE, "p1", long_user),
        ("PROJECT_READER", "p1", long_user),
        ("PROJECT_READER", "p1", Identity.service_account("nightly")),
        ("PROJECT_READER", "p2", Identity.group("team")),
        ("PROJECT_READER", "p1", Identity.user("nil")),
    ):
        assignments.unauthorized_write_assignment(tx, role, scope, holder, interval=soon, reason=HOSTILE)
    mapping_rules.create_rule(tx, "lab", "crew-of-lab", "PROJECT_EXECUTOR", "p1")
    locks.lock_target(tx, LockTarget.IDENTITY, "user:erin", reason=HOSTILE)
    tx.actor = Actor(Identity.user("rob"), Channel.PANEL)
    asked = access_requests.request_access(
        tx, "PROJECT_EXECUTOR", "p1", reason=HOSTILE, until=tx.now + timedelta(days=7)
    )
    tx.actor = Actor(Identity.user("boss"), Channel.CLI)
    held = assignments.grant_roles(tx, ["AIZEN_ADMIN"], None, Identity.user("zoe"), reason=HOSTILE)
    tx.actor = Actor(Identity.user("ada"), Channel.PANEL)
    review = reviews.start_review(tx, "p1", note=HOSTILE)
    tx.actor = service
    a, rules, stops = tables.assignments, tables.mapping_rules, tables.locks
    row = tx.conn.execute(a.select().where(a.c.identity == str(long_user), a.c.role == "PROJECT_READER")).one()
    IDS.update(request=asked.data["request"], change=held.data["pending"], review=review.id, assignment=row.id)
    IDS.update(rule=tx.conn.execute(rules.select()).one().id, lock=tx.conn.execute(stops.select()).one().id)


def run_commands(panel: PanelService) -> None:
    """Add what only a running service makes: sessions, refused commands, operations, a request to be registered."""
    panel.sign_in_again("boss")
    for user in ("eve", "rob"):
        session = panel.run(panel.driver.open(user))
        answer = panel.run(panel.driver.command(session, "start training <b>"))
        if user == "rob":
            IDS["decision"] = re.findall(r"decision=([^&]+)$", answer.json["why"])[0]
    body = {"provider": "lab", "name": "dora", "display_name": f"<b class={INJECTED}>Dora", "email": None}
    response = panel.run(panel.driver.hub("POST", "/login/registrations", body))
    assert response.status == 204, response.body
    policy = yaml.safe_load(panel.get("boss", "policy/-/export"))
    policy["assignments"].append({"role": "PROJECT_ADMIN", "scope": "p2", "identity": "user:maker"})
    text = yaml.safe_dump(policy)
    planned = panel.post("boss", "policy", {"policy": text, "act": "plan"}).body.decode()
    plan = re.findall(r'name="plan" value="([0-9a-f]+)"', planned)[0]
    _wait_for_end(panel, "policy", plan)
    IDS["policy"] = _start(panel, "policy", {"policy": text, "act": "apply", "plan": plan})
    table = f"login,name,mail,provider\nfrida,<b class={INJECTED}>\u202eFrida,,lab\n"
    panel.write("boss", lambda tx: registration.unauthorized_register_user(tx, "wanda", provider="lab"))
    report = {"provider": "lab", "subject": "w-1", "name": "wanda"}
    assert panel.run(panel.driver.hub("POST", "/login", {**report, "answered_in": 0.021})).status == 200
    IDS["reading"] = _start(panel, "directory/read", {"provider": "lab"})
    IDS["import"] = _start(panel, "people/-/import", {"table": table, "delivery": "show"})


def _start(panel: PanelService, page: str, form: Mapping[str, str]) -> str:
    """Start an operation from its page; return its id when it has ended."""
    response = panel.post("boss", page, form)
    assert response.status == 303, response.body
    operation = str(response.headers["Location"].rpartition("/")[2])
    _wait_for_end(panel, page, operation)
    return operation


def _wait_for_end(panel: PanelService, page: str, operation: str) -> None:
    async def has_ended() -> bool:
        body = (await panel.window("boss").get(f"{page}/{operation}")).body.decode()
        progress = re.search(r'<div id="progress"[^>]*>', body)
        return progress is not None and "hx-trigger" not in progress.group()

    end = time.monotonic() + TIMEOUT_S
    while not panel.run(has_ended()):
        assert time.monotonic() < end, f"{page} has not ended within {TIMEOUT_S} s"
