"""A service account's page: its credentials, roles and owner."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from pydantic import ValidationError
from sqlalchemy import select

from aizen_hub.accounts.names import normalization
from aizen_hub.accounts.names.normalization import NameKind
from aizen_hub.accounts.roles.revocability import find_obstacles
from aizen_hub.accounts.service_accounts import accounts, credentials
from aizen_hub.accounts.service_accounts.credential_binding import CredentialBinding
from aizen_hub.api_models.schema import Label, Schema
from aizen_hub.authorization.queries.effective_access import list_access
from aizen_hub.commands.result import Result
from aizen_hub.problems import BadInput
from aizen_hub.rbac.identity import Identity
from aizen_hub.service.api.schemas.groups import Jwk
from aizen_hub.service.http.form import Form, RowId, Typed
from aizen_hub.service.http.route import RawResponse
from aizen_hub.service.panel.fields.names import split_names
from aizen_hub.service.panel.form_errors import NO_ERRORS, FieldError, FormErrors, show_errors
from aizen_hub.service.panel.formatting import page_path
from aizen_hub.service.panel.identity_rows import find_lock, visible_parents_of
from aizen_hub.service.panel.pages import authorized_value, form_route, page_route, show_page
from aizen_hub.service.panel.paging import OptionalText
from aizen_hub.service.panel.rendering import see_other
from aizen_hub.service.panel.service_accounts.listing import visible_accounts
from aizen_hub.service.panel.visibility import Viewer, not_in_panel
from aizen_hub.service.pipeline.request_context import RequestContext
from aizen_hub.store import tables
from aizen_hub.store.transaction import WriteTransaction
from aizen_hub.tokens.public_key import holds_private_key, read_public_jwk

_c = tables.credentials
LIFETIMES = (("30", "30 days"), ("90", "90 days"), ("365", "1 year"))


class AccountAccessQuery(Schema):
    """Where the page of scopes begins."""

    after: OptionalText = None


class CredentialForm(Form):
    key: Typed = ""
    networks: Typed = ""
    days: Typed = "90"


class CredentialEndForm(Form):
    credential: RowId


class AccountActiveForm(Form):
    active: Label = ""


class AccountDeletionForm(Form):
    """The name has to be typed, since a deletion cannot be undone."""

    typed_name: Label = ""


def find_account(viewer: Viewer, name: str) -> Any:
    """Return the row of an account that the viewer may see; raises the same NotFound for any other name."""
    canonical = normalization.canonical_or_none(name, NameKind.SERVICE_ACCOUNT)
    accounts_table = tables.service_accounts
    row = None
    if canonical is not None:
        query = select(accounts_table).where(accounts_table.c.name == canonical, *visible_accounts(viewer))
        row = viewer.tx.conn.execute(query).first()
    if row is None:
        raise not_in_panel()
    return row


async def show_account(ctx: RequestContext) -> RawResponse:
    return await _show(ctx)


async def _show(
    ctx: RequestContext,
    errors: FormErrors = NO_ERRORS,
    form: CredentialForm | None = None,
    made: Result | None = None,
) -> RawResponse:
    name = ctx.path_params["name"]
    after = getattr(ctx.query, "after", None)

    def read(viewer: Viewer) -> dict[str, Any]:
        row = find_account(viewer, name)
        identity = Identity.service_account(row.name)
        may_manage = viewer.may("service-accounts") or row.controller == str(viewer.identity)
        query = select(_c).where(_c.c.service_account_id == row.id).order_by(_c.c.created.desc())
        return {
            **_read_access(viewer, identity, after),
            "account": row,
            "identity": identity,
            "lock": find_lock(viewer.tx, identity),
            "may_manage": may_manage,
            "may_grant": viewer.is_manager,
            "may_stop": viewer.may("locks"),
            "sees_owner": row.controller is not None and viewer.sees(Identity.parse(row.controller)),
            "credentials": viewer.tx.conn.execute(query).all() if may_manage else [],
            "groups": visible_parents_of(viewer, identity),
            "lifetimes": LIFETIMES,
            "form": form or CredentialForm(xsrf="-"),
        }

    return await show_page(
        ctx,
        "service_accounts/account.html",
        read,
        errors=errors,
        status=422 if errors else 200,
        made=None if made is None else made.data,
        audit_details=lambda _: {"details": {"query": "credentials", "target": f"service-account:{name}"}},
    )


def _read_access(viewer: Viewer, identity: Identity, after: str | None = None) -> dict[str, Any]:
    access = list_access(viewer.tx, identity, projects=viewer.projects, after=after)
    obstacles = find_obstacles(viewer.tx, identity, [held for scope in access.scopes for held in scope.roles])
    return {"access": access, "is_partial": viewer.projects is not None, "obstacles": obstacles}


async def issue_credential(ctx: RequestContext) -> RawResponse:
    name, body = ctx.path_params["name"], ctx.body

    async def change() -> RawResponse:
        lifetime, binding = _read_lifetime(body), CredentialBinding.parse(_read_key(body), _read_networks(body))
        result = await authorized_value(ctx, lambda tx: _issue(tx, name, lifetime, binding))
        if result.pending_id:
            return see_other(ctx, page_path("changes", result.pending_id))
        # Rendered without a redirect, since the credential is shown only once.
        return await _show(ctx, made=result)

    async def show_again(errors: FormErrors) -> RawResponse:
        return await _show(ctx, errors, body)

    return await show_errors(change(), show_again, ctx.service.catalog.command_with_handler)


def _issue(tx: WriteTransaction, name: str, lifetime: timedelta, binding: CredentialBinding) -> Result:
    row = find_account(Viewer(tx), name)
    return credentials.issue_credential(tx, row.name, lifetime, binding)


def _read_lifetime(form: CredentialForm) -> timedelta:
    if form.days not in dict(LIFETIMES):
        raise FieldError("days", "choose when it ends")
    return timedelta(days=int(form.days))


def _read_key(form: CredentialForm) -> str | None:
    """Return the thumbprint of the public key that was pasted, if one was."""
    text = form.key.strip().encode()
    if not text:
        return None
    if holds_private_key(text):
        raise FieldError("key", "this is a private key, which must never leave the program: make a new pair")
    try:
        return Jwk.model_validate(read_public_jwk(text)).thumbprint
    except BadInput as problem:
        raise FieldError("key", problem.detail) from None
    except ValidationError:
        raise FieldError("key", "not a public key of Ed25519 or P-256") from None


def _read_networks(form: CredentialForm) -> tuple[str, ...]:
    networks = split_names(form.networks.replace(" ", ","))
    try:
        CredentialBinding.parse(None, networks)
    except BadInput as problem:
        raise FieldError("networks", f"{problem.detail}; {problem.remedy}") from None
    return networks


async def end_credential(ctx: RequestContext) -> RawResponse:
    name, credential = ctx.path_params["name"], ctx.body.credential

    def operation(tx: WriteTransaction) -> None:
        row = find_account(Viewer(tx), name)
        credentials.revoke_credential(tx, row.name, credential)

    async def change() -> RawResponse:
        await authorized_value(ctx, operation)
        return see_other(ctx, page_path("service-accounts", name), "The credential has ended.")

    return await show_errors(change(), lambda errors: _show(ctx, errors), ctx.service.catalog.command_with_handler)


async def set_active(ctx: RequestContext) -> RawResponse:
    name, active = ctx.path_params["name"], ctx.body.active == "yes"

    def operation(tx: WriteTransaction) -> Result:
        row = find_account(Viewer(tx), name)
        return accounts.set_service_account_active(tx, row.name, active)

    async def change() -> RawResponse:
        result = await authorized_value(ctx, operation)
        if result.pending_id:
            return see_other(ctx, page_path("changes", result.pending_id))
        text = f"{name} works again." if active else f"{name} is inactive: nothing of it is accepted."
        return see_other(ctx, page_path("service-accounts", name), text)

    return await show_errors(change(), lambda errors: _show(ctx, errors), ctx.service.catalog.command_with_handler)


async def preview_deletion(ctx: RequestContext) -> RawResponse:
    return await _show_deletion(ctx)


async def _show_deletion(ctx: RequestContext, typed: str = "", errors: FormErrors = NO_ERRORS) -> RawResponse:
    name = ctx.path_params["name"]

    def read(viewer: Viewer) -> dict[str, Any]:
        row = find_account(viewer, name)
        identity = Identity.service_account(row.name)
        accounts.require_may_manage(viewer.tx, row)
        valid = select(_c.c.id).where(_c.c.service_account_id == row.id, _c.c.expires > viewer.tx.now)
        return {
            **_read_access(viewer, identity),
            "account": row,
            "number": len(viewer.tx.conn.execute(valid).all()),
            "typed": typed,
        }

    return await show_page(ctx, "service_accounts/delete.html", read, errors=errors, status=422 if errors else 200)


async def delete_account(ctx: RequestContext) -> RawResponse:
    name, body = ctx.path_params["name"], ctx.body

    def operation(tx: WriteTransaction) -> Result:
        row = find_account(Viewer(tx), name)
        return accounts.delete_service_account(tx, row.name)

    async def change() -> RawResponse:
        if body.typed_name.strip() != name:
            raise FieldError("typed_name", f"type {name} to confirm that this account is meant")
        result = await authorized_value(ctx, operation)
        if result.pending_id:
            return see_other(ctx, page_path("changes", result.pending_id))
        return see_other(ctx, "service-accounts", f"The service account {name} is deleted.")

    async def show_again(errors: FormErrors) -> RawResponse:
        return await _show_deletion(ctx, body.typed_name, errors)

    return await show_errors(change(), show_again, ctx.service.catalog.command_with_handler)


ROUTES = (
    page_route("/service-accounts/{name}", show_account, "A service account.", AccountAccessQuery),
    form_route("/service-accounts/{name}/credentials", issue_credential, "Make a credential.", CredentialForm),
    form_route("/service-accounts/{name}/credentials/end", end_credential, "End a credential.", CredentialEndForm),
    form_route("/service-accounts/{name}/active", set_active, "Activate or deactivate an account.", AccountActiveForm),
    page_route("/service-accounts/{name}/delete", preview_deletion, "What deleting a service account ends."),
    form_route("/service-accounts/{name}/delete", delete_account, "Delete a service account.", AccountDeletionForm),
)
