"""The pages of the panel at a large installation, opened by an administrator and by the admin of one project."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from pathlib import Path

from tests.benchmarks import install
from tests.benchmarks.figure import Figure
from tests.benchmarks.install import Size
from tests.benchmarks.panel_objects import ADMIN, LEAD, add_objects, add_users
from tests.fixtures.browser.panel import PanelService, running_panel

PROJECTS_PER_USERS = 50
"""2,000 projects for 100,000 users: 500 members in each."""
ROUNDS = 15
PAGE_MS, SEARCH_MS = 100, 150
PAGES = {
    ADMIN: (
        "home",
        "me",
        "me/requests",
        "me/sessions",
        "me/commands/system",
        "account",
        "account/alerts",
        "me/ask",
        "people",
        "people?sort=-seen",
        "people?state=stopped",
        "people?role=PROJECT_ADMIN",
        "people?role=AIZEN_ADMIN",
        "people?role=none",
        "people?role=PROJECT_ADMIN&project=p7",
        "system/unused",
        "people/-/new",
        "people/-/import",
        "people/{member}",
        "people/{member}/account",
        "people/{member}/sessions",
        "people/{member}/requests",
        "people/{member}/events",
        "people/{member}/stop",
        "people/{member}/delete",
        "compare?who={member}&other={other}",
        "locks",
        "locks/{lock}",
        "groups",
        "groups/-/new",
        "groups/crew",
        "groups/crew/delete",
        "service-accounts",
        "service-accounts/-/new",
        "service-accounts/robot",
        "service-accounts/robot/delete",
        "projects",
        "projects/p7",
        "projects/p7/matrix",
        "roles",
        "roles/-/new",
        "roles/PROJECT_READER",
        "permissions",
        "give",
        "requests",
        "changes/{change}",
        "audit",
        "audit?who={member}",
        "audit?what=refusal",
        "projects/p7/audit",
        "why",
        "why?who={member}&do=start+training&in=p7",
        "why?who={member}&do=delete+training&in=p7",
        "why?who={stranger}&do=start+training&in=p7",
        "directory",
        "policy",
        "system",
        "system/sessions",
    ),
    LEAD: (
        "home",
        "me",
        "me/commands/p7",
        "people",
        "people/{member}",
        "roles",
        "projects",
        "projects/p7",
        "projects/p7/matrix",
        "projects/p7/matrix/training",
        "projects/p7/matrix/-/people",
        "projects/p7/matrix/-/changes",
        "projects/p7/requests",
        "projects/p7/audit",
        "projects/p7/settings",
        "projects/p7/review",
        "reviews/{review}",
        "give?role=PROJECT_READER&to={member}&project=p7",
        "requests",
        "requests/{request}",
        "audit",
        "why?who={member}&do=delete+training&in=p7",
    ),
}
SEARCHES = {
    ADMIN: (
        "search?as_typed=1&q=u77",
        "people?q=u99999",
        "suggest?kinds=user,group&q=u5",
        "projects?q=p19",
        "groups?q=cr",
        "audit?q=training",
        "audit?q=written-nowhere",
    ),
    LEAD: ("search?as_typed=1&q=u77", "projects/p7?q=u99", "projects/p7/audit?q=training", "reviews/{review}?q=u9"),
}


def measure(folder: Path, large: Size) -> Iterator[Figure]:
    """Yield the median time of each page, over HTTP and through the whole service, without the browser's own work."""
    size = Size(large.users, max(1, large.users // PROJECTS_PER_USERS))
    install.build(folder / "data", size)
    with running_panel(folder, add_users, populated=False) as panel:
        objects = add_objects(panel.store)
        for label, pages_of, target in (("page", PAGES, PAGE_MS), ("search", SEARCHES, SEARCH_MS)):
            for user, pages in pages_of.items():
                for page in pages:
                    name = (
                        f"{label} {page} ({'administrator' if user == ADMIN else 'project admin'}, {size.users} users)"
                    )
                    yield Figure(name, median_ms(panel, user, objects.fill_in(page)), "ms", f"at most {target}")


def median_ms(panel: PanelService, user: str, page: str) -> float:
    """Return the median time of opening a page, after one that is not counted."""
    panel.get(user, page)
    taken = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        panel.get(user, page)
        taken.append(time.perf_counter() - started)
    return statistics.median(taken) * 1000
