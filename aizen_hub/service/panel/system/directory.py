"""Page *Directory*: the providers, the rules that map their groups to roles, and trying out which roles groups give."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import Field
from sqlalchemy import func, select

from aizen_hub.accounts import identities
from aizen_hub.accounts.groups import mapping_preview, mapping_rules, mapping_sync
from aizen_hub.api_models.schema import Name, ProviderName, Schema
from aizen_hub.commands.result import Result
from aizen_hub.rbac.role import ScopeKind
from aizen_hub.service.http.form import Form, RowId, Typed, read_form
from aizen_hub.service.http.route import RawResponse
from aizen_hub.service.panel.form_errors import NO_ERRORS, FieldError, FormErrors, show_errors
from aizen_hub.service.panel.formatting import page_path, sentence
from aizen_hub.service.panel.pages import authorized_value, form_route, page_route, show_page
from aizen_hub.service.panel.paging import OptionalText
from aizen_hub.service.panel.rendering import see_other
from aizen_hub.service.panel.system.rule_preview import preview_rule
from aizen_hub.service.panel.visibility import Viewer, not_in_panel
from aizen_hub.service.pipeline.request_context import RequestContext
from aizen_hub.store import tables
from aizen_hub.store.transaction import WriteTransaction

_MAX_GROUPS = 200
_MAX_LEFT = 10
PREVIEW = "preview"
_RULE_ID = re.compile(r"[0-9]{1,18}")
_u, _t = tables.users, tables.mapping_rules


class DirectoryQuery(Schema):
    """What to try out: groups of a provider, one a line, or the groups last reported of a person."""

    provider: OptionalText = None
    groups: Annotated[str, Field(max_length=20_000)] = ""
    who: OptionalText = None


class RuleForm(Form):
    """``act`` is `PREVIEW` where the rule is only tried."""

    rule_provider: Typed = ""
    rule_group: Typed = ""
    rule_role: Typed = ""
    rule_project: Typed = ""
    act: Typed = ""


class _Rule(Schema):
    rule_provider: ProviderName
    rule_group: Name
    rule_role: Name


class RuleChangeForm(RuleForm):
    """What the rule is to say instead."""

    rule: RowId


class RuleDeletionForm(Form):
    rule: RowId


async def show_directory(ctx: RequestContext) -> RawResponse:
    return await _show(ctx, ctx.query)


async def _show(
    ctx: RequestContext, query: DirectoryQuery, errors: FormErrors = NO_ERRORS, form: RuleForm | None = None
) -> RawResponse:
    def read(viewer: Viewer) -> dict[str, Any]:
        if not viewer.may("groups"):
            raise not_in_panel()
        tx = viewer.tx
        left = select(_u.c.name, _u.c.display_name, _u.c.provider, _u.c.gone_at, _u.c.last_seen)
        left = left.where(_u.c.gone_at.is_not(None)).order_by(_u.c.gone_at.desc(), _u.c.name)
        if viewer.people is not None:
            left = left.where(_u.c.name.in_(sorted(viewer.people)))
        counts = select(_u.c.provider, func.count().label("people"), func.max(_u.c.last_seen).label("seen"))
        rules = tx.conn.execute(select(_t).order_by(_t.c.provider, _t.c.group, _t.c.role)).all()
        outcomes, left_out = _try_out(viewer, query) or (None, 0)
        return {
            "providers": tx.settings.providers,
            "facts": {row.provider: row for row in tx.conn.execute(counts.group_by(_u.c.provider))},
            "rules": rules,
            "left": tx.conn.execute(left.limit(_MAX_LEFT)).all(),
            "left_count": tx.conn.execute(select(func.count()).select_from(left.subquery())).scalar_one(),
            "counts": mapping_preview.count_people(tx, rules),
            **_read_choices(viewer),
            "query": query,
            "outcomes": outcomes,
            "left_out": left_out,
            "form": form,
        }

    return await show_page(
        ctx,
        "system/directory.html",
        read,
        pool=ctx.service.pools.queries,
        may_read_now=ctx.service.can_read_directories,
        response_times=ctx.service.state.response_times.summarize(),
        errors=errors,
        status=422 if errors else 200,
        audit_details=lambda _: {"details": {"query": "directory"}},
    )


def _read_choices(viewer: Viewer) -> dict[str, Any]:
    """Return what the form of a rule offers."""
    tx = viewer.tx
    providers = [item for item in tx.settings.providers if item.kind != identities.LOCAL_KIND]
    return {
        "directories": [(item.name, item.label or item.name) for item in providers],
        "roles": [(name, name) for name, role in tx.roles.items() if ScopeKind.PROJECT in role.scopes],
    }


def _try_out(viewer: Viewer, query: DirectoryQuery) -> tuple[list[mapping_preview.GroupOutcome], int] | None:
    """Return what the groups of the address give, and how many were left out; None where it names none."""
    tx = viewer.tx
    if query.provider is None:
        return None
    groups = [line.strip() for line in query.groups.splitlines() if line.strip()]
    if query.who is not None and viewer.may("users"):
        groups += mapping_sync.reported_groups_of(tx, query.who, query.provider)
    if not groups:
        return None
    return mapping_preview.preview_groups(tx, query.provider, groups[:_MAX_GROUPS]), max(0, len(groups) - _MAX_GROUPS)


def _read_rule(body: RuleForm) -> tuple[str, str, str, str | None]:
    """Return provider, group, role and project; raises FieldError."""
    for name, text in (("rule_group", "write the name of a group"), ("rule_role", "choose a role")):
        if not getattr(body, name).strip():
            raise FieldError(name, text)
    rule = read_form(_Rule, body)
    return rule.rule_provider, rule.rule_group.strip(), rule.rule_role, body.rule_project.strip() or None


async def create_rule(ctx: RequestContext) -> RawResponse:
    body = ctx.body

    async def change() -> RawResponse:
        rule = _read_rule(body)

        def operation(tx: WriteTransaction) -> Result:
            return mapping_rules.create_rule(tx, *rule)

        if body.act == PREVIEW:
            return await preview_rule(ctx, operation)
        result: Result = await authorized_value(ctx, operation)
        if result.pending_id:
            return see_other(ctx, page_path("changes", result.pending_id))
        return see_other(ctx, "directory", sentence(result.message))

    async def show_again(errors: FormErrors) -> RawResponse:
        return await _show(ctx, DirectoryQuery(), errors, body)

    return await show_errors(change(), show_again, ctx.service.catalog.command_with_handler)


async def show_rule(ctx: RequestContext) -> RawResponse:
    return await _show_rule(ctx, ctx.path_params["rule"])


async def _show_rule(
    ctx: RequestContext, rule_id: str, errors: FormErrors = NO_ERRORS, form: RuleForm | None = None
) -> RawResponse:
    def read(viewer: Viewer) -> dict[str, Any]:
        number = int(rule_id) if _RULE_ID.fullmatch(rule_id) else 0
        row = viewer.tx.conn.execute(select(_t).where(_t.c.id == number)).first() if viewer.may("groups") else None
        if row is None:
            raise not_in_panel()
        counts = mapping_preview.count_people(viewer.tx, [row])[row.id]
        return {"rule": row, "counts": counts, "form": form, **_read_choices(viewer)}

    return await show_page(ctx, "system/rule.html", read, errors=errors, status=422 if errors else 200)


async def change_rule(ctx: RequestContext) -> RawResponse:
    body: RuleChangeForm = ctx.body

    async def change() -> RawResponse:
        rule = _read_rule(body)

        def operation(tx: WriteTransaction) -> Result:
            return mapping_rules.change_rule(tx, body.rule, *rule)

        if body.act == PREVIEW:
            return await preview_rule(ctx, operation, body.rule)
        result: Result = await authorized_value(ctx, operation)
        return see_other(ctx, "directory", sentence(result.message))

    async def show_again(errors: FormErrors) -> RawResponse:
        return await _show_rule(ctx, str(body.rule), errors, body)

    return await show_errors(change(), show_again, ctx.service.catalog.command_with_handler)


async def delete_rule(ctx: RequestContext) -> RawResponse:
    result = await authorized_value(ctx, lambda tx: mapping_rules.delete_rule(tx, ctx.body.rule))
    if result.pending_id:
        return see_other(ctx, page_path("changes", result.pending_id))
    return see_other(ctx, "directory", sentence(result.message))


ROUTES = (
    page_route("/directory", show_directory, "Providers, mapping rules, and trying them out.", DirectoryQuery),
    form_route("/directory/rules", create_rule, "Create a mapping rule.", RuleForm),
    form_route("/directory/rules/-/delete", delete_rule, "Delete a mapping rule.", RuleDeletionForm),
    form_route("/directory/rules/-/change", change_rule, "Change a mapping rule.", RuleChangeForm),
    page_route("/directory/rules/{rule}", show_rule, "A mapping rule, to be changed or deleted."),
)
