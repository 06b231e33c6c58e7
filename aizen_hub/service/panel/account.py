"""Page *My account*: password, second factor and linked logins."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from aizen_hub.accounts import identities, pending_changes
from aizen_hub.accounts.credentials import passwords, second_factor
from aizen_hub.accounts.logins import linked_logins
from aizen_hub.api_models.schema import ProviderName, Schema, Secret
from aizen_hub.authorization import checks
from aizen_hub.problems import BadInput, Denied, NotFound, TooManyRequests
from aizen_hub.service.http.form import Form
from aizen_hub.service.http.headers import HTML
from aizen_hub.service.http.route import ANY_REGISTERED, RawResponse, Route
from aizen_hub.service.panel.approvals import EmptyForm
from aizen_hub.service.panel.rendering import IN_BROWSER, authorized_value, form_route, render, see_other
from aizen_hub.service.pipeline.request_context import RequestContext
from aizen_hub.store.transaction import WriteTransaction

_SIGNED_OUT = "You will be signed out everywhere and your hub tokens will end; running servers keep running."
_MESSAGES = {
    "password": f"Your password was changed. {_SIGNED_OUT}",
    "on": f"Every sign-in now asks for a code as well. {_SIGNED_OUT}",
    "off": f"Codes are no longer asked for. {_SIGNED_OUT}",
    "linked": "You can now sign in with that login as well.",
    "unlinked": f"That login can no longer be used. {_SIGNED_OUT}",
}


class AccountQuery(Schema):
    done: Literal["password", "on", "off", "linked", "unlinked"] | None = None


class PasswordForm(Form):
    current: Annotated[str, Field(max_length=1024)]
    password: Secret
    repeated: Secret


class SecondFactorForm(Form):
    encrypted_secret: Annotated[str, Field(max_length=500)]
    code: Annotated[str, Field(max_length=16)]


class UnlinkForm(Form):
    provider: ProviderName


async def show_account(ctx: RequestContext) -> RawResponse:
    data = await authorized_value(ctx, _account_data)
    return render(ctx, "account.html", notice=_MESSAGES.get(ctx.query.done), enrolment=None, **data)


def _account_data(tx: WriteTransaction) -> dict[str, Any]:
    checks.forbid_impersonation(tx)
    user = identities.get_user(tx, tx.actor.identity.name)
    labels = {provider.name: provider.label or provider.name for provider in tx.settings.providers}
    return {
        "user": user,
        "is_local": identities.is_local_user(tx, user.name),
        "has_second_factor": second_factor.has_second_factor(tx, user.name),
        "labels": labels,
        "linked_providers": linked_logins.linked_providers(tx, user.name),
        "other_providers": [name for name in labels if name != user.provider],
        "min_characters": passwords.MIN_CHARACTERS,
    }


async def change_password(ctx: RequestContext) -> RawResponse:
    body, name = ctx.body, ctx.identity.name
    if body.password != body.repeated:
        raise BadInput("the two new passwords differ")

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
        raise Denied("your current password is wrong", remedy="try again")
    return see_other(ctx, "account?done=password")


async def start_second_factor(ctx: RequestContext) -> RawResponse:
    def check(tx: WriteTransaction) -> dict[str, Any]:
        data = _account_data(tx)
        if not data["is_local"]:
            raise NotFound("your sign-in is not managed here", remedy="set up a second factor where you sign in")
        pending_changes.require_recent_login(tx)
        return data

    data = await authorized_value(ctx, check)
    encryption = ctx.service.keys.encryption
    assert encryption is not None, "a sealed service does not handle this request"
    enrolment = second_factor.begin_enrolment(ctx.identity.name, encryption)
    return render(ctx, "account.html", notice=None, enrolment=enrolment, **data)


async def enable_second_factor(ctx: RequestContext) -> RawResponse:
    encryption, body = ctx.service.keys.encryption, ctx.body
    assert encryption is not None, "a sealed service does not handle this request"
    await authorized_value(
        ctx, lambda tx: second_factor.enable_second_factor(tx, encryption, body.encrypted_secret, body.code)
    )
    return see_other(ctx, "account?done=on")


async def disable_second_factor(ctx: RequestContext) -> RawResponse:
    await authorized_value(ctx, lambda tx: second_factor.disable_second_factor(tx, ctx.identity.name))
    return see_other(ctx, "account?done=off")


async def unlink_login(ctx: RequestContext) -> RawResponse:
    await authorized_value(ctx, lambda tx: linked_logins.unlink_own_logins(tx, ctx.body.provider))
    return see_other(ctx, "account?done=unlinked")


ROUTES = (
    Route(
        "GET",
        "/account",
        IN_BROWSER,
        ANY_REGISTERED,
        show_account,
        "My account.",
        query=AccountQuery,
        media_type=HTML,
        browser_page=True,
    ),
    form_route("/account/password", change_password, "Change your own password.", PasswordForm),
    form_route("/account/codes", start_second_factor, "Start to set up a second factor.", EmptyForm),
    form_route("/account/codes/on", enable_second_factor, "Enable a second factor.", SecondFactorForm),
    form_route("/account/codes/off", disable_second_factor, "Disable the second factor.", EmptyForm),
    form_route("/account/unlink", unlink_login, "Unlink a further login.", UnlinkForm),
)
