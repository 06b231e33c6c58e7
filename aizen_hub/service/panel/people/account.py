"""A person's account, for those who manage users: contact data, ways to sign in, activation, deletion."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select

from aizen_hub.accounts import identities
from aizen_hub.accounts.credentials import mailed_links, second_factor
from aizen_hub.accounts.logins import linked_logins
from aizen_hub.accounts.users import profiles, registration
from aizen_hub.api_models.schema import Label, Name, Note, ProviderName
from aizen_hub.authorization.queries.effective_access import list_access
from aizen_hub.problems import NotFound
from aizen_hub.service.http.form import EmptyForm, Form, RowId
from aizen_hub.service.http.route import RawResponse
from aizen_hub.service.panel.form_errors import NO_ERRORS, FieldError, FormErrors, show_errors
from aizen_hub.service.panel.formatting import page_path, sentence
from aizen_hub.service.panel.pages import authorized_value, form_route, page_route, show_page
from aizen_hub.service.panel.people import person_head
from aizen_hub.service.panel.people.person import about_person
from aizen_hub.service.panel.rendering import see_other
from aizen_hub.service.panel.visibility import Viewer, not_in_panel
from aizen_hub.service.pipeline.request_context import RequestContext
from aizen_hub.store import tables
from aizen_hub.store.transaction import ReadTransaction, WriteTransaction

_p = tables.passwords


class PersonProfileForm(Form):
    display_name: Note = ""
    email: Label = ""
    phone: Label = ""


class LoginLinkForm(Form):
    provider: ProviderName
    subject: Name


class LoginUnlinkForm(Form):
    login: RowId


class PersonDeletionForm(Form):
    """The name has to be typed, since a deletion cannot be undone."""

    typed_name: Label = ""


async def show_account(ctx: RequestContext) -> RawResponse:
    return await _show(ctx)


async def _show(
    ctx: RequestContext, errors: FormErrors = NO_ERRORS, link: Any = None, typed: PersonProfileForm | None = None
) -> RawResponse:
    name = ctx.path_params["name"]

    def read(viewer: Viewer) -> dict[str, Any]:
        head = person_head.read_head(viewer, name)
        if not viewer.may("users"):
            raise not_in_panel()
        tx, row = viewer.tx, head["person"]
        others = [item for item in tx.settings.providers if item.kind != identities.LOCAL_KIND]
        return {
            **head,
            "is_local": identities.is_local_user(tx, row.name),
            "has_second_factor": _has_second_factor(tx, row),
            "mails": tx.settings.alerts.mail is not None,
            "logins": linked_logins.logins_of(tx, row),
            "labels": {item.name: item.label or item.name for item in tx.settings.providers},
            "linkable": [(item.name, item.label or item.name) for item in others],
            "profile": typed or row,
        }

    status = 422 if errors else 200
    details = about_person(ctx, name)
    return await show_page(
        ctx, "people/account.html", read, status=status, audit_details=details, errors=errors, link=link
    )


def _has_second_factor(tx: ReadTransaction, row: Any) -> bool:
    return tx.conn.execute(select(_p.c.totp_secret).where(_p.c.user_id == row.id)).scalar() is not None


async def update_profile(ctx: RequestContext) -> RawResponse:
    name, body = ctx.path_params["name"], ctx.body

    def operation(tx: WriteTransaction) -> None:
        profiles.update_user(tx, name, display_name=body.display_name, email=body.email, phone=body.phone)

    async def change() -> RawResponse:
        await authorized_value(ctx, operation)
        return see_other(ctx, page_path("people", name, "account"), f"The contact data of {name} is saved.")

    return await show_errors(
        change(), lambda errors: _show(ctx, errors, typed=body), ctx.service.catalog.command_with_handler
    )


async def create_link(ctx: RequestContext) -> RawResponse:
    """Create an activation link; the current password works until the link is used."""
    return await _create_link(ctx, by_mail=False)


async def mail_link(ctx: RequestContext) -> RawResponse:
    return await _create_link(ctx, by_mail=True)


async def _create_link(ctx: RequestContext, *, by_mail: bool) -> RawResponse:
    name = ctx.path_params["name"]
    outgoing: list[mailed_links.MailedLink] = []

    async def change() -> RawResponse:
        result = await ctx.within_deadline(
            authorized_value(ctx, lambda tx: mailed_links.renew_link(tx, name, outgoing, by_mail=by_mail))
        )
        await ctx.service.link_mailer.send(outgoing)
        if "activation" in result.data:
            # Rendered without a redirect, since it is shown only once.
            return await ctx.within_deadline(_show(ctx, link=result.data["activation"]))
        return see_other(ctx, page_path("people", name, "account"), sentence(result.message))

    async def show_again(errors: FormErrors) -> RawResponse:
        return await ctx.within_deadline(_show(ctx, errors))

    return await show_errors(change(), show_again, ctx.service.catalog.command_with_handler)


async def disable_second_factor(ctx: RequestContext) -> RawResponse:
    name = ctx.path_params["name"]

    async def change() -> RawResponse:
        await authorized_value(ctx, lambda tx: second_factor.disable_second_factor(tx, name))
        return see_other(ctx, page_path("people", name, "account"), f"{name} signs in without a code now.")

    return await show_errors(change(), lambda errors: _show(ctx, errors), ctx.service.catalog.command_with_handler)


async def link_login(ctx: RequestContext) -> RawResponse:
    name, body = ctx.path_params["name"], ctx.body

    async def change() -> RawResponse:
        result = await authorized_value(
            ctx, lambda tx: linked_logins.link_login(tx, name, body.provider, body.subject.strip())
        )
        if result.pending_id:
            return see_other(ctx, page_path("changes", result.pending_id))
        return see_other(ctx, page_path("people", name, "account"), f"{name} can sign in with {body.provider} too.")

    return await show_errors(change(), lambda errors: _show(ctx, errors), ctx.service.catalog.command_with_handler)


async def unlink_login(ctx: RequestContext) -> RawResponse:
    name, login = ctx.path_params["name"], ctx.body.login

    async def change() -> RawResponse:
        await authorized_value(ctx, lambda tx: linked_logins.unlink_login(tx, name, login))
        return see_other(ctx, page_path("people", name, "account"), f"{name} cannot sign in with it any more.")

    return await show_errors(change(), lambda errors: _show(ctx, errors), ctx.service.catalog.command_with_handler)


async def preview_deletion(ctx: RequestContext) -> RawResponse:
    return await _show_deletion(ctx)


async def _show_deletion(ctx: RequestContext, errors: FormErrors = NO_ERRORS, typed: str = "") -> RawResponse:
    name = ctx.path_params["name"]

    def read(viewer: Viewer) -> dict[str, Any]:
        head = person_head.read_head(viewer, name)
        if not viewer.may("users"):
            raise not_in_panel()
        return {**head, "access": list_access(viewer.tx, head["identity"], limit=1), "typed": typed}

    status = 422 if errors else 200
    return await show_page(
        ctx, "people/delete.html", read, status=status, audit_details=about_person(ctx, name), errors=errors
    )


async def delete_person(ctx: RequestContext) -> RawResponse:
    name, body = ctx.path_params["name"], ctx.body

    async def change() -> RawResponse:
        if body.typed_name.strip() != name:
            raise FieldError("typed_name", f"type {name} to confirm that this person is meant")
        result = await authorized_value(ctx, lambda tx: registration.delete_users(tx, [name]))
        if result.pending_id:
            return see_other(ctx, page_path("changes", result.pending_id))
        return see_other(ctx, "people", f"{name} is deleted.")

    async def show_again(errors: FormErrors) -> RawResponse:
        try:
            return await _show_deletion(ctx, errors, body.typed_name)
        except NotFound:
            return see_other(ctx, "people", f"{name} does not exist any more.")

    return await show_errors(change(), show_again, ctx.service.catalog.command_with_handler)


ROUTES = (
    page_route("/people/{name}/account", show_account, "A person's account."),
    form_route("/people/{name}/account", update_profile, "Change a person's contact data.", PersonProfileForm),
    # The mail server has a deadline of its own.
    form_route("/people/{name}/link", create_link, "Create an activation link.", EmptyForm, own_deadline=True),
    form_route("/people/{name}/mail-link", mail_link, "Mail an activation link.", EmptyForm, own_deadline=True),
    form_route("/people/{name}/no-codes", disable_second_factor, "Disable a person's second factor.", EmptyForm),
    form_route("/people/{name}/logins", link_login, "Link a login to a person.", LoginLinkForm),
    form_route("/people/{name}/logins/unlink", unlink_login, "Unlink a login of a person.", LoginUnlinkForm),
    page_route("/people/{name}/delete", preview_deletion, "What deleting a person ends."),
    form_route("/people/{name}/delete", delete_person, "Delete a person.", PersonDeletionForm),
)
