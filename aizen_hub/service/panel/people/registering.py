"""Registering one person: contact data, system roles, a role in a project, and the link to the first sign-in."""

from __future__ import annotations

from typing import Any

from aizen_hub.accounts import identities
from aizen_hub.accounts.credentials import mailed_links
from aizen_hub.accounts.roles import assignments
from aizen_hub.accounts.users import registration
from aizen_hub.api_models.schema import Label, Name, Note, Schema
from aizen_hub.authorization.delegation import GrantAuthority
from aizen_hub.commands.result import Result
from aizen_hub.problems import Conflict, Escalation
from aizen_hub.rbac.assignment import Interval
from aizen_hub.rbac.identity import Identity, IdentityKind
from aizen_hub.rbac.role import SYSTEM, Role, ScopeKind
from aizen_hub.service.http.form import Form, Ticked, Typed, read_form
from aizen_hub.service.http.route import RawResponse
from aizen_hub.service.panel.fields.until import NO_END, GrantFields, presets
from aizen_hub.service.panel.form_errors import NO_ERRORS, FieldError, FormErrors, at_field, show_errors
from aizen_hub.service.panel.formatting import page_path
from aizen_hub.service.panel.pages import authorized_value, form_route, page_route, show_page
from aizen_hub.service.panel.rendering import see_other
from aizen_hub.service.panel.visibility import Viewer, not_in_panel
from aizen_hub.service.pipeline.request_context import RequestContext
from aizen_hub.store.transaction import WriteTransaction

_NEW = Identity.user("the new person")
"""Stands for the person to be, where the viewer's authority is shown."""


class RegistrationQuery(Schema):
    """What is known of the person: it is filled in."""

    name: Typed = ""
    provider: Typed = ""
    display_name: Typed = ""
    email: Typed = ""


class RegistrationForm(Form, RegistrationQuery, GrantFields):
    """The person, and the first roles."""

    roles: Ticked = ()
    project: Typed = ""
    project_role: Typed = ""
    delivery: Typed = "show"


class _Registration(Schema):
    name: Name
    display_name: Note = ""
    email: Label = ""
    project: Label = ""
    project_role: Label = ""
    reason: Note = ""


async def show_registration(ctx: RequestContext) -> RawResponse:
    return await _show(ctx, None)


def _prefilled(query: RegistrationQuery, provider: str) -> RegistrationForm:
    known = {name: value for name, value in query.model_dump().items() if value}
    return RegistrationForm.model_validate({"xsrf": "-", "provider": provider, "until": NO_END, **known})


async def _show(ctx: RequestContext, form: RegistrationForm | None, errors: FormErrors = NO_ERRORS) -> RawResponse:
    def read(viewer: Viewer) -> dict[str, Any]:
        if not viewer.may("users"):
            raise not_in_panel()
        settings = viewer.tx.settings
        return {
            "form": form or _prefilled(ctx.query, settings.registration_provider),
            "providers": [(item.name, item.label or item.name) for item in settings.providers],
            "local": [item.name for item in settings.providers if item.kind == identities.LOCAL_KIND],
            "system_roles": _grantable_roles(viewer, ScopeKind.SYSTEM),
            "project_roles": [(role.name, role.name) for role in _project_roles(viewer)],
            "presets": presets(viewer.tx.now),
            "mails": settings.alerts.mail is not None,
        }

    return await show_page(ctx, "people/new.html", read, errors=errors, status=422 if errors else 200)


def _grantable_roles(viewer: Viewer, kind: ScopeKind) -> list[Role]:
    """Return the system roles that the viewer may give a new person, least powerful first."""
    authority = GrantAuthority.of_actor(viewer.tx)
    return [
        role
        for role in viewer.tx.roles.values()
        if kind in role.scopes
        and IdentityKind.USER in role.assignable_to
        and not authority.missing_to_grant(viewer.tx, role, SYSTEM, _NEW, in_file=True)
    ]


def _project_roles(viewer: Viewer) -> list[Role]:
    return [
        role
        for role in viewer.tx.roles.values()
        if ScopeKind.PROJECT in role.scopes and IdentityKind.USER in role.assignable_to
    ]


async def register_person(ctx: RequestContext) -> RawResponse:
    body: RegistrationForm = ctx.body
    outgoing: list[mailed_links.MailedLink] = []

    def operation(tx: WriteTransaction) -> Result:
        typed = read_form(_Registration, body)
        result = registration.create_user(
            tx,
            typed.name,
            provider=body.provider or None,
            display_name=typed.display_name,
            email=typed.email or None,
            roles=body.roles,
        )
        name = result.data["user"]
        if typed.project:
            if not typed.project_role:
                raise FieldError("project_role", "choose a role in this project")
            ends = body.read_end(tx.now)
            try:
                assignments.grant_roles(
                    tx,
                    [typed.project_role],
                    typed.project,
                    Identity.user(name),
                    interval=Interval(None, ends),
                    reason=typed.reason,
                )
            except Escalation as problem:
                raise at_field("project", problem, tx.catalog.command_with_handler) from None
        if body.delivery == "mail" and "activation" in result.data:
            if not typed.email:
                raise FieldError("email", "the link cannot be sent without a mail address")
            mailed_links.renew_link(tx, name, outgoing, by_mail=True)
        return result

    async def change() -> RawResponse:
        try:
            result = await ctx.within_deadline(authorized_value(ctx, operation))
        except Conflict as problem:
            raise at_field("name", problem, ctx.service.catalog.command_with_handler) from None
        name = result.data["user"]
        if outgoing:
            await ctx.service.link_mailer.send(outgoing)
            return see_other(ctx, page_path("people", name), f"{name} is registered, and was sent a link by mail.")
        if "activation" in result.data:
            # Rendered without a redirect, since the link is shown only once.
            return await ctx.within_deadline(
                show_page(ctx, "people/registered.html", name=name, link=result.data["activation"])
            )
        return see_other(ctx, page_path("people", name), f"{name} is registered.")

    async def show_again(errors: FormErrors) -> RawResponse:
        return await ctx.within_deadline(_show(ctx, body, errors))

    return await show_errors(change(), show_again, ctx.service.catalog.command_with_handler)


ROUTES = (
    page_route("/people/-/new", show_registration, "Register a person.", RegistrationQuery),
    # The mail server has a deadline of its own.
    form_route("/people/-/new", register_person, "Register a person.", RegistrationForm, own_deadline=True),
)
