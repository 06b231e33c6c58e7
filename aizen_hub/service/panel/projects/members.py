"""Tab *Members* of a project: each role with its source, what ends soon, and the form that adds several at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal

from sqlalchemy import select

from aizen_hub.accounts.projects import roster
from aizen_hub.accounts.projects.roster import MemberSort, MemberSource, RosterFilter, RosterRow
from aizen_hub.accounts.reviews import assignment_uses
from aizen_hub.accounts.roles import grant_preview
from aizen_hub.authorization.delegation import GrantAuthority
from aizen_hub.authorization.queries.grantors import who_can_grant
from aizen_hub.jobs.limit_use import read_limits
from aizen_hub.service.http.route import RawResponse
from aizen_hub.service.panel.fields import until
from aizen_hub.service.panel.form_errors import NO_ERRORS, FormErrors
from aizen_hub.service.panel.pages import page_route, show_page
from aizen_hub.service.panel.paging import EMPTY_IS_NONE, OptionalText, PageQuery, Sort, read_page
from aizen_hub.service.panel.projects.project_head import count_running, read_head, require_visible, stopped_by
from aizen_hub.service.panel.visibility import Viewer
from aizen_hub.service.pipeline.request_context import RequestContext
from aizen_hub.store.transaction import ActorTransaction

SOON = timedelta(days=14)
_MAX_ENDING = 10
_MAX_ADMINS = 10


class MembersQuery(PageQuery):
    q: OptionalText = None
    role: OptionalText = None
    source: Annotated[Literal["direct", "group"] | None, EMPTY_IS_NONE] = None
    ending: Annotated[Literal["soon"] | None, EMPTY_IS_NONE] = None


@dataclass(frozen=True, slots=True)
class MemberRow:
    """One row of the table.

    Attributes
    ----------
    last_seen : datetime or None
        When the account last had a running server in the project.
    last_used : datetime or None
        When a decision was last allowed by this role; for a role of a group, by any member.
    may_change : bool
        Whether the viewer may change or take away this role here.
    note : str
        Else why not, in a few words.
    """

    member: RosterRow
    last_seen: datetime | None
    last_used: datetime | None
    may_change: bool
    note: str


async def show_members(ctx: RequestContext) -> RawResponse:
    return await render_members(ctx, ctx.query)


async def render_members(
    ctx: RequestContext, query: MembersQuery, errors: FormErrors = NO_ERRORS, form: Any = None, status: int = 200
) -> RawResponse:
    """Render the tab, or the short page of a project for those who may not read its members.

    Parameters
    ----------
    form : Form, optional
        What was typed to add members, if there are errors.
    """
    name = ctx.path_params["project"]

    def read(viewer: Viewer) -> dict[str, Any]:
        project = require_visible(viewer, name)
        if not viewer.sees_project(name):
            return {"reads_members": False, **_read_own(viewer, project)}
        return {"reads_members": True, **_read_members(viewer, project, query)}

    def audit_details(values: Any) -> dict[str, Any] | None:
        if not values["reads_members"]:
            return None
        return {"project": name, "details": {"query": "members"}}

    # A template of two pages: which one it is depends on what the viewer may read.
    return await show_page(
        ctx,
        "projects/members.html",
        read,
        fragment="results",
        status=status,
        audit_details=audit_details,
        query=query,
        errors=errors,
        form=form,
    )


def _read_members(viewer: Viewer, project: Any, query: MembersQuery) -> dict[str, Any]:
    tx, name = viewer.tx, project.name
    criteria = RosterFilter(
        query.q or "",
        query.role or "",
        None if query.source is None else MemberSource(query.source),
        tx.now + SOON if query.ending else None,
    )
    members = roster.roster_of(tx, name, criteria)
    sorts = [Sort(sort.value, roster.sort_columns(tx, members, sort)) for sort in MemberSort]
    page = read_page(tx, select(members), sorts, query)
    roles = grant_preview.grantable_roles(tx, name)
    ending = _ending_soon(tx, name)
    return {
        **read_head(viewer, project, "members"),
        "page": page,
        "accounts": roster.count_accounts(tx, members),
        "rows": member_rows(tx, name, roster.to_rows(tx, page.rows)),
        "present_roles": [
            (role, f"{role} ({count})")
            for role, count in roster.count_by_role(tx, roster.roster_of(tx, name, RosterFilter())).items()
        ],
        "grantable": [(role.name, role.name) for role in roles],
        "presets": until.presets(tx.now),
        "ending": member_rows(tx, name, ending[:_MAX_ENDING]),
        "more_ending": len(ending) > _MAX_ENDING,
        "running": count_running(viewer, name),
        "own_limits": read_limits(viewer.tx, viewer.identity, name),
    }


def _read_own(viewer: Viewer, project: Any) -> dict[str, Any]:
    tx, name = viewer.tx, project.name
    # A stopped project takes the rights in it away, also the right to read its members.
    held = [role for role in tx.rights(viewer.identity).held_roles if role.scope == name and role.is_effective(tx.now)]
    role = tx.catalog.creator_role
    return {
        "project": project,
        "held": held,
        "stopped": stopped_by(tx, name),
        "own_limits": read_limits(viewer.tx, viewer.identity, name),
        "admins": who_can_grant(tx, role, name, _MAX_ADMINS) if role is not None else (),
        "grantable": [(entry.name, entry.name) for entry in grant_preview.grantable_roles(tx, name)],
        "presets": until.presets(tx.now),
    }


def member_rows(tx: ActorTransaction, project: str, members: Sequence[RosterRow]) -> list[MemberRow]:
    """Return rows with their last activity, and with what the actor may do about each."""
    authority = GrantAuthority.of_actor(tx)
    seen = roster.last_activity(tx, project, [member.account for member in members])
    uses = assignment_uses.find_uses(tx, [member.assignment_id for member in members])
    rows = []
    for member in members:
        role = tx.roles.get(member.role)
        may_change = (
            member.is_direct
            and not member.mapped
            and role is not None
            and not authority.missing_to_revoke(tx, role, project, member.account, creator=member.creator)
        )
        note = "" if may_change else _note(tx, member)
        use = uses.get(member.assignment_id)
        last_used = None if use is None else use.last_used
        rows.append(MemberRow(member, seen.get(member.account), last_used, may_change, note))
    return rows


def _note(tx: ActorTransaction, member: RosterRow) -> str:
    if not member.is_direct:
        return "by group"
    if member.mapped:
        return "by a directory rule"
    if member.creator:
        return "creator"
    return "you" if member.account == tx.actor.identity else ""


def _ending_soon(tx: ActorTransaction, project: str) -> list[RosterRow]:
    criteria = RosterFilter(source=MemberSource.DIRECT, ends_before=tx.now + SOON)
    members = roster.roster_of(tx, project, criteria)
    order = roster.sort_columns(tx, members, MemberSort.UNTIL)
    return roster.to_rows(tx, tx.conn.execute(select(members).order_by(*order).limit(_MAX_ENDING + 1)).all())


ROUTES = (page_route("/projects/{project}", show_members, "A project and its members.", MembersQuery),)
