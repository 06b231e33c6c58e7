"""Limits that are set in a project: whose limit becomes lower or higher, shown before it is set or removed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select

from aizen_hub.accounts.dry_run import try_change
from aizen_hub.accounts.roles import limits
from aizen_hub.api_models.schema import Schema
from aizen_hub.authorization import checks
from aizen_hub.rbac.group_closure import MAX_DEPTH
from aizen_hub.rbac.identity import Identity, IdentityKind
from aizen_hub.rbac.role import LimitKind
from aizen_hub.service.http.form import Form, Typed
from aizen_hub.service.http.route import RawResponse
from aizen_hub.service.panel.fields.limit_values import parse_limit
from aizen_hub.service.panel.fields.typed_identities import read_identities
from aizen_hub.service.panel.form_errors import show_errors
from aizen_hub.service.panel.formatting import page_path
from aizen_hub.service.panel.pages import authorized_value, form_route, page_route, show_page
from aizen_hub.service.panel.projects import settings
from aizen_hub.service.panel.projects.project_head import require_readable
from aizen_hub.service.panel.rendering import see_other
from aizen_hub.service.panel.toasts import Toast
from aizen_hub.service.panel.visibility import Viewer
from aizen_hub.service.pipeline.request_context import RequestContext
from aizen_hub.store import tables
from aizen_hub.store.transaction import ActorTransaction, WriteTransaction

MAX_EXAMINED = 50
"""Accounts whose limits are compared in one preview: the change holds the write lock meanwhile."""
_MAX_GROUPS = 500
_MAX_READ = 2_000
_g, _m = tables.groups, tables.memberships


class ProjectLimitQuery(Schema):
    holder: Typed = ""
    kind: Typed = ""
    value: Typed = ""


class ProjectLimitForm(Form):
    holder: Typed = ""
    kind: Typed = ""
    value: Typed = ""


@dataclass(frozen=True, slots=True)
class LimitEffect:
    """The limit that binds one account, before and after a change; None: it has none."""

    identity: Identity
    before: float | None
    after: float | None

    @property
    def is_lower(self) -> bool:
        """Whether less is allowed afterwards."""
        return self.after is not None and (self.before is None or self.after < self.before)


@dataclass(frozen=True, slots=True)
class LimitPreview:
    """What a change of a limit does for the accounts that it applies to.

    Attributes
    ----------
    effects : tuple of LimitEffect
        Of the examined accounts, those whose limit changes.
    examined, accounts : int
        How many were compared, and how many users and service accounts it applies to, also through groups.
    is_partial : bool
        Whether there are some that the viewer may not see, which are not counted, or may be.
    """

    effects: tuple[LimitEffect, ...]
    examined: int
    accounts: int
    is_partial: bool


async def preview_limit(ctx: RequestContext) -> RawResponse:
    """Show whose limit would become lower or higher; the change is tried and rolled back."""
    name, query = ctx.path_params["project"], ctx.query
    found: list[LimitPreview] = []

    async def preview() -> RawResponse:
        value = parse_limit(query.value, query.kind, field="value")

        def change(tx: WriteTransaction) -> None:
            viewer = Viewer(tx)
            viewer.require_project(name)
            holders = _read_holders(tx, name, query.holder)
            accounts, count, is_partial = _accounts_of(viewer, holders)
            before = [_limit_of(tx, account, name, query.kind) for account in accounts]
            for holder in holders:
                limits.set_limit(tx, holder, name, query.kind, value)
            after = [_limit_of(tx, account, name, query.kind) for account in accounts]
            effects = map(LimitEffect, accounts, before, after)
            changed = tuple(effect for effect in effects if effect.before != effect.after)
            found.append(LimitPreview(changed, len(accounts), count, is_partial))

        await ctx.service.pools.queries.run(lambda: try_change(ctx.service.store, ctx.actor, change))

        def read(viewer: Viewer) -> dict[str, Any]:
            return {"project": require_readable(viewer, name), "preview": found[-1], "form": query, "value": value}

        def audit_details(_: Any) -> dict[str, Any]:
            return {"project": name, "details": {"query": "limits"}}

        return await show_page(ctx, "projects/limit_preview.html", read, audit_details=audit_details)

    again = settings.show_again(ctx, typed_limit=query)
    return await show_errors(preview(), again, ctx.service.catalog.command_with_handler)


def _read_holders(tx: ActorTransaction, project: str, typed: str) -> list[Identity]:
    # Before the names are read: which exist is told to those who may set limits.
    checks.require(tx, checks.endpoint_permission(tx, "limits"), project)
    return [Identity.parse(typed)] if typed.startswith("user:") else read_identities(tx, typed, field="holder")


def _limit_of(tx: ActorTransaction, identity: Identity, project: str, kind: str) -> float | None:
    bound = limits.limits_of(tx, identity, project).get(LimitKind(kind)) if kind in set(LimitKind) else None
    return None if bound is None else bound.value


def _accounts_of(viewer: Viewer, holders: Sequence[Identity]) -> tuple[list[Identity], int, bool]:
    """Return the first accounts that the holders are or contain, the number of all, and whether some may be hidden."""
    tx = viewer.tx
    named = [holder for holder in holders if holder.kind is not IdentityKind.GROUP]
    direct = [holder for holder in named if viewer.sees(holder)]
    groups, is_partial = _groups_in(viewer, [holder for holder in holders if holder.kind is IdentityKind.GROUP])
    is_partial = is_partial or len(direct) < len(named)
    if not groups:
        return direct[:MAX_EXAMINED], len(direct), is_partial
    member = _m.c.member
    inside = (
        _g.c.name.in_(groups),
        member.not_like(f"{IdentityKind.GROUP}:%"),
        member.not_in([str(holder) for holder in named]),
    )
    joined = _m.join(_g, _g.c.id == _m.c.group_id)
    query = select(member).select_from(joined).where(*inside).distinct().order_by(member)
    if viewer.people is None and viewer.service_accounts is None:
        total = tx.conn.execute(select(func.count(member.distinct())).select_from(joined).where(*inside)).scalar_one()
        rows = tx.conn.execute(query.limit(MAX_EXAMINED)).scalars()
        return [*direct, *map(Identity.parse, rows)][:MAX_EXAMINED], len(direct) + total, is_partial
    rows = tx.conn.execute(query.limit(_MAX_READ)).scalars()
    seen = [*direct, *(identity for identity in map(Identity.parse, rows) if viewer.sees(identity))]
    return seen[:MAX_EXAMINED], len(seen), True


def _groups_in(viewer: Viewer, groups: Sequence[Identity]) -> tuple[list[str], bool]:
    """Return the names of the groups and of those in them whose members the viewer may read, and whether some miss."""
    found: dict[str, bool] = {}
    front = [group.name for group in groups]
    for _ in range(MAX_DEPTH):
        found |= {name: viewer.sees(Identity.group(name)) and viewer.sees_members(name) for name in front}
        open_groups = [name for name in front if found[name]]
        if not open_groups or len(found) > _MAX_GROUPS:
            break
        query = select(_m.c.member).join(_g, _g.c.id == _m.c.group_id)
        query = query.where(_g.c.name.in_(open_groups), _m.c.member.like(f"{IdentityKind.GROUP}:%")).distinct()
        members = viewer.tx.conn.execute(query.order_by(_m.c.member).limit(_MAX_GROUPS)).scalars()
        front = [name for name in (Identity.parse(member).name for member in members) if name not in found]
    names = [name for name, is_open in found.items() if is_open]
    return names[:_MAX_GROUPS], len(names) < len(found) or len(names) > _MAX_GROUPS


async def set_limit(ctx: RequestContext) -> RawResponse:
    name, body = ctx.path_params["project"], ctx.body

    async def change() -> RawResponse:
        value = parse_limit(body.value, body.kind, field="value")

        def operation(tx: WriteTransaction) -> str:
            Viewer(tx).require_project(name)
            for holder in _read_holders(tx, name, body.holder):
                limits.set_limit(tx, holder, name, body.kind, value)
            return "The limit was removed." if value is None else "The limit was set; it holds for what starts next."

        text = await authorized_value(ctx, operation)
        return see_other(ctx, page_path("projects", name, "settings"), Toast(text))

    again = settings.show_again(ctx, typed_limit=body)
    return await show_errors(change(), again, ctx.service.catalog.command_with_handler)


_PATH = "/projects/{project}/settings/limit"
ROUTES = (
    page_route(_PATH, preview_limit, "Whose limit a change in a project lowers or raises.", ProjectLimitQuery),
    form_route(_PATH, set_limit, "Set a limit in a project, from its page.", ProjectLimitForm),
)
