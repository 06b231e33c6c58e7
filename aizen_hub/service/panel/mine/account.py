"""Page *Account*: own name, mail and alerts, password, and linked logins. The second factor has a module of its own."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field
from sqlalchemy import func, select

from aizen_hub.accounts import identities
from aizen_hub.accounts.credentials import passwords, second_factor
from aizen_hub.accounts.logins import linked_logins
from aizen_hub.accounts.users import profiles
from aizen_hub.api_models.schema import Label, Note, ProviderName, Schema
from aizen_hub.authorization import checks
from aizen_hub.problems import NotFound, TooManyRequests
from aizen_hub.service.http.form import Form, Typed, read_form
from aizen_hub.service.http.route import RawResponse
from aizen_hub.service.panel.form_errors import NO_ERRORS, FieldError, FormErrors, show_errors
from aizen_hub.service.panel.pages import authorized_value, form_route, page_route, show_page
from aizen_hub.service.panel.rendering import see_other
from aizen_hub.service.panel.visibility import Viewer
from aizen_hub.service.pipeline.request_context import RequestContext
from aizen_hub.store import tables
from aizen_hub.store.transaction import WriteTransaction

SIGNED_OUT = "You will be signed out everywhere and your hub tokens will end; running servers keep running."
_MESSAGES = {
    "password": f"Your password was changed. {SIGNED_OUT}",
    "off": f"Codes are no longer asked for. {SIGNED_OUT}",
    "linked": "You can now sign in with that login as well.",
    "unlinked": f"That login can no longer be used. {SIGNED_OUT}",
}
_p, _alerts = tables.passwords, tables.project_alerts


class AccountQuery(Schema):
    done: Literal["password", "on", "off", "linked", "unlinked"] | None = None


class ProfileForm(Form):
    display_name: Typed = ""
    email: Typed = ""
    phone: Typed = ""
    by_email: Typed = ""
    by_phone: Typed = ""


class _Profile(Schema):
    display_name: Note = ""
    email: Label = ""
    phone: Label = ""


class PasswordForm(Form):
    current: Annotated[str, Field(max_length=1024)] = ""
    password: Annotated[str, Field(max_length=1024)] = ""
    repeated: Annotated[str, Field(max_length=1024)] = ""


class UnlinkForm(Form):
    provider: ProviderName


async def show_account(ctx: RequestContext) -> RawResponse:
    return await render_account(ctx, notice=_MESSAGES.get(ctx.query.done))


async def render_account(
    ctx: RequestContext,
    *,
    read: Any = None,
    errors: FormErrors = NO_ERRORS,
    typed: ProfileForm | None = None,
    notice: str | None = None,
    enrolment: Any = None,
    qr: Any = None,
    codes: Any = None,
) -> RawResponse:
    """Render the page.

    Parameters
    ----------
    typed : ProfileForm, optional
        What was typed, if there are errors.
    enrolment, qr : optional
        The secret that is being set up, and its picture.
    codes : list of str, optional
        Recovery codes, which are shown only now.
    """

    def read_account(viewer: Viewer) -> dict[str, Any]:
        return {**account_data(viewer), "typed": typed}

    return await show_page(
        ctx,
        "mine/account.html",
        read or read_account,
        errors=errors,
        status=422 if errors else 200,
        notice=notice,
        enrolment=enrolment,
        qr=qr,
        codes=codes,
    )


def account_data(viewer: Viewer) -> dict[str, Any]:
    """Return the variables of the page."""
    tx = viewer.tx
    user = identities.get_user(tx, viewer.identity.name)
    labels = {provider.name: provider.label or provider.name for provider in tx.settings.providers}
    alerted = select(func.count(_alerts.c.project.distinct())).where(_alerts.c.user == user.name)
    return {
        "user": user,
        "typed": None,
        "is_local": identities.is_local_user(tx, user.name),
        "has_second_factor": second_factor.has_second_factor(tx, user.name),
        "codes_left": second_factor.count_recovery_codes(tx, user.name),
        "password_changed": tx.conn.execute(select(_p.c.changed).where(_p.c.user_id == user.id)).scalar(),
        "labels": labels,
        "linked_providers": linked_logins.linked_providers(tx, user.name),
        "other_providers": [name for name in labels if name != user.provider],
        "min_characters": passwords.MIN_CHARACTERS,
        "mails": tx.settings.alerts.mail is not None,
        "phones": tx.settings.alerts.has_webhook,
        "alerting_projects": tx.conn.execute(alerted).scalar_one(),
    }


async def update_profile(ctx: RequestContext) -> RawResponse:
    body, name = ctx.body, ctx.identity.name

    async def change() -> RawResponse:
        profile = read_form(_Profile, body)
        alerts = {"email": bool(body.by_email), "phone": bool(body.by_phone)}
        faults = profiles.missing_addresses(alerts, profile.email, profile.phone)
        for channel, fault in faults.items():
            raise FieldError(channel, fault)

        def operation(tx: WriteTransaction) -> None:
            profiles.update_user(
                tx, name, display_name=profile.display_name, email=profile.email, phone=profile.phone, alerts=alerts
            )

        await authorized_value(ctx, operation)
        return see_other(ctx, "account", "Your profile is saved.")

    async def show_again(errors: FormErrors) -> RawResponse:
        return await render_account(ctx, errors=errors, typed=body)

    return await show_errors(change(), show_again, ctx.service.catalog.command_with_handler)


async def change_password(ctx: RequestContext) -> RawResponse:
    return await show_errors(
        _change_password(ctx),
        lambda errors: render_account(ctx, errors=errors),
        ctx.service.catalog.command_with_handler,
    )


async def _change_password(ctx: RequestContext) -> RawResponse:
    body, name = ctx.body, ctx.identity.name
    if body.password != body.repeated:
        raise FieldError("repeated", "the two new passwords differ")
    if len(body.password) < passwords.MIN_CHARACTERS:
        raise FieldError("password", f"choose at least {passwords.MIN_CHARACTERS} characters")

    def start(tx: WriteTransaction) -> passwords.PasswordAttempt:
        checks.forbid_impersonation(tx)
        user = identities.get_user(tx, name)
        if not identities.is_local_user(tx, name):
            raise NotFound("your password is not managed here", remedy="change it where you sign in")
        passwords.check_password_rules(body.password, name)
        return passwords.start_check(tx, user.provider, name, None)

    # Counted in one transaction, compared outside, finished in a second one, as at a login.
    attempt = await authorized_value(ctx, start)
    pool = ctx.service.pools.passwords
    matches = await pool.run(lambda: attempt.verify(body.current))
    new = await pool.run(lambda: passwords.NewPassword.from_text(body.password)) if matches else None

    def finish(tx: WriteTransaction) -> passwords.PasswordResult:
        result = passwords.finish_check(tx, attempt, matches)
        if result.outcome == "verified" and new is not None:
            passwords.set_password(tx, name, new)
        return result

    result = await authorized_value(ctx, finish)
    if result.outcome == "throttled":
        raise TooManyRequests(
            "too many wrong passwords", extensions={"retry_after": result.retry_after or 1}, remedy="wait a while"
        )
    if result.outcome != "verified":
        raise FieldError("current", "your current password is wrong; try again")
    return see_other(ctx, "account?done=password")


async def unlink_login(ctx: RequestContext) -> RawResponse:
    await authorized_value(ctx, lambda tx: linked_logins.unlink_own_logins(tx, ctx.body.provider))
    return see_other(ctx, "account?done=unlinked")


ROUTES = (
    page_route("/account", show_account, "My account.", AccountQuery),
    form_route("/account/profile", update_profile, "Change your own contact data and alerts.", ProfileForm),
    form_route("/account/password", change_password, "Change your own password.", PasswordForm),
    form_route("/account/unlink", unlink_login, "Unlink a further login.", UnlinkForm),
)
