"""Custom roles: made, changed after a preview of what changes for whom, and deleted."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select

from aizen_hub.accounts.names import normalization
from aizen_hub.accounts.names.normalization import NameKind
from aizen_hub.accounts.roles import custom_roles, role_content, usage
from aizen_hub.api_models.schema import Schema
from aizen_hub.authorization import checks
from aizen_hub.authorization.queries import role_coverage
from aizen_hub.rbac.permission import Permission
from aizen_hub.rbac.role import LimitKind, Role, ScopeKind
from aizen_hub.service.http.form import Form, Ticked, Typed
from aizen_hub.service.http.route import RawResponse
from aizen_hub.service.panel.fields.limit_values import limit_text, parse_limit
from aizen_hub.service.panel.form_errors import NO_ERRORS, FieldError, FormErrors, show_errors
from aizen_hub.service.panel.formatting import page_path
from aizen_hub.service.panel.pages import authorized_value, form_route, page_route, show_page
from aizen_hub.service.panel.rendering import see_other
from aizen_hub.service.panel.roles import permission_grid
from aizen_hub.service.panel.roles.role_holders import first_holders
from aizen_hub.service.panel.roles.role_page import get_role
from aizen_hub.service.panel.toasts import Toast
from aizen_hub.service.panel.visibility import Viewer, not_in_panel
from aizen_hub.service.pipeline.request_context import RequestContext
from aizen_hub.store import tables
from aizen_hub.store.transaction import ActorTransaction, ReadTransaction, WriteTransaction

_r = tables.roles
_SHOWN_COMMANDS = 12
_VERSION = re.compile(r"[0-9]{1,18}")


class NewRoleQuery(Schema):
    template: Typed = ""


class RoleForm(Form):
    """A role as it was typed; ``version`` is empty for a new one."""

    name: Typed = ""
    description: Typed = ""
    category: Typed = ""
    version: Typed = ""
    p: Ticked = ()
    s: Ticked = ()
    limit_projects: Typed = ""
    limit_jobs: Typed = ""
    limit_memory: Typed = ""
    limit_cpu: Typed = ""


class RoleDeletionForm(Form):
    confirm: Typed = ""


@dataclass(frozen=True, slots=True)
class RoleDiff:
    """What saving a role would change.

    Attributes
    ----------
    added, removed : tuple of str
        Permissions and limits in words.
    gained, lost : tuple of str
        Commands.
    assigned : int
        How often the role is assigned.
    """

    added: tuple[str, ...]
    removed: tuple[str, ...]
    gained: tuple[str, ...]
    lost: tuple[str, ...]
    assigned: int


async def show_new(ctx: RequestContext) -> RawResponse:
    return await _render(ctx, None)


async def show_edit(ctx: RequestContext) -> RawResponse:
    return await _render(ctx, ctx.path_params["role"])


async def _render(
    ctx: RequestContext,
    name: str | None,
    form: RoleForm | None = None,
    errors: FormErrors = NO_ERRORS,
    status: int = 200,
) -> RawResponse:
    def read(viewer: Viewer) -> dict[str, Any]:
        tx = viewer.tx
        checks.require(tx, checks.endpoint_permission(tx, "roles"))
        role = None if name is None else _get_custom(tx, name)
        template = ctx.query.template if name is None and ctx.query is not None else ""
        source = get_role(tx, template) if template else role
        held = frozenset[str]() if source is None else frozenset(map(str, source.permissions))
        ticked = frozenset(form.p) if form is not None else held
        return {
            "role": role,
            "template": source if role is None else None,
            "grid": permission_grid.permission_grid(tx, held | ticked),
            "ticked": ticked,
            "scopes": [(kind.value, kind.value in _scopes(tx, form, source)) for kind in ScopeKind],
            "limits": [(kind.value, _limit_text(kind, form, source)) for kind in LimitKind],
            "form": form,
            "version": _version(tx, name) if form is None else form.version,
            "assigned": usage.count_assignments(tx, None, name).get(name, 0) if name is not None else 0,
        }

    return await show_page(ctx, "roles/edit.html", read, status=status, errors=errors)


def _get_custom(tx: ReadTransaction, name: str) -> Role:
    role = get_role(tx, name)
    if role.built_in:
        raise not_in_panel()
    return role


def _version(tx: ReadTransaction, name: str | None) -> str:
    if name is None:
        return ""
    return str(tx.conn.execute(select(_r.c.version).where(_r.c.name == name)).scalar_one())


def _scopes(tx: ReadTransaction, form: RoleForm | None, source: Role | None) -> frozenset[str]:
    if form is not None:
        return frozenset(form.s)
    return frozenset(kind.value for kind in (tx.catalog.custom_role_scopes if source is None else source.scopes))


def _limit_text(kind: LimitKind, form: RoleForm | None, source: Role | None) -> str:
    if form is not None:
        return str(getattr(form, f"limit_{kind}"))
    return limit_text(None if source is None else source.limits.get(kind), kind)


def _read_limits(form: RoleForm) -> dict[str, float]:
    limits = {}
    for kind in LimitKind:
        field = f"limit_{kind}"
        value = parse_limit(getattr(form, field), kind, field=field)
        if value is not None:
            limits[kind.value] = value
    return limits


async def preview_role(ctx: RequestContext) -> RawResponse:
    """Show what saving the form would change, and for how many; nothing is saved."""
    form, name = ctx.body, ctx.path_params.get("role")

    async def preview() -> RawResponse:
        def read(viewer: Viewer) -> dict[str, Any]:
            tx = viewer.tx
            checks.require(tx, checks.endpoint_permission(tx, "roles"))
            role = None if name is None else _get_custom(tx, name)
            if role is None and not form.name.strip():
                raise FieldError("name", "give the role a name")
            return {
                "role": role,
                "form": form,
                "limit_fields": [(f"limit_{kind}", getattr(form, f"limit_{kind}")) for kind in LimitKind],
                "diff": _diff(tx, role, form),
                "holders": None if role is None else first_holders(viewer, [role.name]),
                "shown_commands": _SHOWN_COMMANDS,
            }

        return await show_page(ctx, "roles/preview.html", read)

    async def show_again(errors: FormErrors) -> RawResponse:
        return await _render(ctx, name, form, errors, 422)

    return await show_errors(preview(), show_again, ctx.service.catalog.command_with_handler)


def _diff(tx: ActorTransaction, role: Role | None, form: RoleForm) -> RoleDiff:
    present = frozenset[Permission]() if role is None else role.permissions
    scopes = sorted(_scopes(tx, form, None) or {ScopeKind.PROJECT.value}) if role is None else sorted(role.scopes)
    content = role_content.check_role_content(tx, list(form.p), _read_limits(form), scopes, present=present)
    after = frozenset(Permission.parse(text) for text in content["permissions"])
    kind = ScopeKind.PROJECT if ScopeKind.PROJECT in scopes else ScopeKind.SYSTEM
    catalog = tx.catalog
    limits_before = {} if role is None else {str(limit): value for limit, value in role.limits.items()}
    before_texts = _content_texts(tx, present, limits_before)
    after_texts = _content_texts(tx, after, content["limits"])
    commands = [
        role_coverage.allowed_commands(catalog, role_coverage.permissions_in(catalog, version, kind), kind)
        for version in (Role("before", permissions=present), Role("after", permissions=after))
    ]
    names = [[entry.name for entry in entries] for entries in commands]
    return RoleDiff(
        tuple(text for text in after_texts if text not in before_texts),
        tuple(text for text in before_texts if text not in after_texts),
        tuple(name for name in names[1] if name not in names[0]),
        tuple(name for name in names[0] if name not in names[1]),
        0 if role is None else usage.count_assignments(tx, None, role.name).get(role.name, 0),
    )


def _content_texts(tx: ReadTransaction, permissions: frozenset[Permission], limits: Mapping[str, float]) -> list[str]:
    texts = [permission_grid.describe(tx.catalog, str(permission)) for permission in sorted(permissions)]
    return texts + [f"at most {value:g} {kind}" for kind, value in sorted(limits.items())]


async def save_role(ctx: RequestContext) -> RawResponse:
    form, name = ctx.body, ctx.path_params.get("role")

    async def change() -> RawResponse:
        def operation(tx: WriteTransaction) -> tuple[str, str]:
            limits = _read_limits(form)
            if name is None:
                result = custom_roles.create_role(
                    tx,
                    form.name.strip(),
                    permissions=list(form.p),
                    limits=limits,
                    scopes=list(form.s) or None,
                    description=form.description.strip(),
                    category=form.category.strip(),
                )
                return result.data["role"], f"{result.data['role']} can be given now."
            role = _get_custom(tx, name)
            result = custom_roles.update_role(
                tx,
                role.name,
                permissions=list(form.p),
                limits=limits,
                description=form.description.strip(),
                category=form.category.strip(),
                if_match=int(form.version) if _VERSION.fullmatch(form.version) else None,
            )
            waits = "The change waits for confirmation." if result.pending_id else f"{role.name} was saved."
            return role.name, waits

        saved, text = await authorized_value(ctx, operation)
        return see_other(ctx, page_path("roles", saved), Toast(text))

    async def show_again(errors: FormErrors) -> RawResponse:
        return await _render(ctx, name, form, errors, 422)

    return await show_errors(change(), show_again, ctx.service.catalog.command_with_handler)


async def delete_role(ctx: RequestContext) -> RawResponse:
    name, body = ctx.path_params["role"], ctx.body

    async def change() -> RawResponse:
        def operation(tx: WriteTransaction) -> str:
            checks.require(tx, checks.endpoint_permission(tx, "roles"))
            role = _get_custom(tx, name)
            typed = normalization.canonical_or_none(body.confirm.strip(), NameKind.ROLE)
            if typed != role.name:
                raise FieldError("confirm", f"type {role.name} to delete it")
            return custom_roles.delete_role(tx, role.name).message

        await authorized_value(ctx, operation)
        return see_other(ctx, page_path("roles"), Toast(f"{name} was deleted."))

    async def show_again(errors: FormErrors) -> RawResponse:
        return await _render(ctx, name, None, errors, 422)

    return await show_errors(change(), show_again, ctx.service.catalog.command_with_handler)


ROUTES = (
    page_route("/roles/-/new", show_new, "Make a role.", NewRoleQuery),
    form_route("/roles/-/preview", preview_role, "What a new role would allow.", RoleForm),
    form_route("/roles/-/save", save_role, "Make a role, from its page.", RoleForm),
    page_route("/roles/{role}/edit", show_edit, "Change a role."),
    form_route("/roles/{role}/preview", preview_role, "What changing a role would do.", RoleForm),
    form_route("/roles/{role}/save", save_role, "Change a role, from its page.", RoleForm),
    form_route("/roles/{role}/delete", delete_role, "Delete a role, from its page.", RoleDeletionForm),
)
