"""The navigation of the panel: two groups of pages, of which each user sees those that hold something for them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from aizen_hub.accounts.users import registration_requests
from aizen_hub.service.panel import documentation_folder
from aizen_hub.service.panel.visibility import MAX_COUNTED, Viewer

Condition = Callable[[Viewer], bool]


@dataclass(frozen=True, slots=True)
class NavigationEntry:
    """A page in the navigation.

    Attributes
    ----------
    path : str
        Below the prefix; pages below it belong to the entry too.
    label, icon : str
    is_shown : callable
        Whether the page holds something for a viewer. It is no check: the page itself decides what it shows.
    badge : str or None
        Key of the count of what waits, in `pending_counts`.
    """

    path: str
    label: str
    icon: str
    is_shown: Condition
    badge: str | None = None


def _every_user(viewer: Viewer) -> bool:
    return True


def _manages(viewer: Viewer) -> bool:
    return viewer.is_manager


def _decides(viewer: Viewer) -> bool:
    return viewer.is_manager or viewer.pending_count > 0


def _manages_projects(viewer: Viewer) -> bool:
    return viewer.is_manager or viewer.may_run("create_project")


def _reads_audit(viewer: Viewer) -> bool:
    return viewer.may("audit") or any(viewer.may("audit", name) for name in viewer.managed_projects)


def _at_system(endpoint: str) -> Condition:
    return lambda viewer: viewer.may(endpoint)


def _has_service_accounts(viewer: Viewer) -> bool:
    return viewer.sees_all or viewer.may("service-accounts") or viewer.controls_accounts


MINE = (
    NavigationEntry("me", "My access", "key", _every_user),
    NavigationEntry("me/requests", "My requests", "inbox", _every_user),
    NavigationEntry("me/sessions", "My sessions", "screen", _every_user),
    NavigationEntry("account", "Account", "user", _every_user),
)
MANAGE = (
    NavigationEntry("home", "Home", "home", _manages, "home"),
    NavigationEntry("people", "People", "people", _manages),
    NavigationEntry("groups", "Groups", "group", _manages),
    NavigationEntry("service-accounts", "Service accounts", "gear", _has_service_accounts),
    NavigationEntry("projects", "Projects", "folder", _manages_projects),
    NavigationEntry("roles", "Roles", "shield", _manages),
    NavigationEntry("requests", "Requests", "inbox", _decides, "pending"),
    NavigationEntry("audit", "Audit", "log", _reads_audit),
    NavigationEntry("directory", "Directory", "book", _at_system("groups")),
    NavigationEntry("policy", "Policy", "copy", _at_system("access")),
    NavigationEntry("system", "System", "gear", _at_system("users")),
)
HELP: Mapping[str, str] = {
    "me": "docs/how-to/data-scientist.html#find-out-what-you-may-do",
    "me/ask": "docs/how-to/data-scientist.html#a-command-was-refused",
    "me/requests": "docs/how-to/data-scientist.html#a-command-was-refused",
    "me/sessions": "docs/how-to/data-scientist.html#start-a-server-for-a-project",
    "account": "docs/panel.html#if-you-use-the-platform",
    "home": "docs/panel.html#if-you-manage-a-project",
    "people": "docs/how-to/platform-admin.html#onboard-a-person",
    "groups": "docs/how-to/platform-admin.html#give-roles-by-groups-of-a-directory",
    "service-accounts": "deploy/service-account/README.html",
    "projects": "docs/how-to/project-admin.html#give-a-role",
    "roles": "docs/how-to/platform-admin.html#make-a-role-of-your-own",
    "requests": "docs/how-to/project-admin.html#decide-requests",
    "changes": "docs/how-to/project-admin.html#decide-requests",
    "reviews": "docs/access-reviews.html",
    "why": "docs/how-to/platform-admin.html#investigate-a-refusal",
    "audit": "docs/how-to/platform-admin.html#review-the-audit",
    "directory": "docs/ldap.html#groups",
    "policy": "docs/policy-files.html",
    "system": "docs/how-to/monitoring.html",
    "system/review": "docs/access-reviews.html",
    "system/unused": "docs/access-reviews.html",
}
"""The page of the documentation that explains a page and those below it, by its path."""


def navigation(viewer: Viewer) -> tuple[tuple[str, tuple[NavigationEntry, ...]], ...]:
    """Return the groups of the navigation with the entries that a viewer sees; groups without any are left out."""
    groups = (
        ("Mine", MINE),
        ("Manage", MANAGE),
    )
    shown = ((label, tuple(entry for entry in entries if entry.is_shown(viewer))) for label, entries in groups)
    return tuple((label, entries) for label, entries in shown if entries)


def current_page(path: str) -> str:
    """Return the path of the entry that the path of a route belongs to, the longest one; empty for none."""
    paths = (entry.path for entry in (*MINE, *MANAGE) if f"{path}/".startswith(f"/{entry.path}/"))
    return max(paths, key=len, default="")


def help_page(path: str) -> str:
    """Return the page of the documentation, below ``docs/``, that explains the page of a route; else its first one."""
    explained = (page for page in HELP if f"{path}/".startswith(f"/{page}/"))
    return HELP.get(max(explained, key=len, default=""), documentation_folder.START)


def pending_counts(viewer: Viewer) -> Mapping[str, int]:
    """Return the numbers for the badges, by their key; 99 stands for more too."""
    # *Home* shows who asks to be registered, to those who may register them, and the reviews of access.
    asking = registration_requests.list_registration_requests(viewer.tx, MAX_COUNTED) if viewer.may("users") else ()
    return {"pending": viewer.pending_count, "home": min(MAX_COUNTED, len(asking) + viewer.review_count)}
