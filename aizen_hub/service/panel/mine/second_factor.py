"""The second factor on the page *Account*: setting it up with a picture, recovery codes, switching it off."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from aizen_hub.accounts import pending_changes
from aizen_hub.accounts.credentials import second_factor
from aizen_hub.problems import NotFound
from aizen_hub.service.http.form import EmptyForm, Form
from aizen_hub.service.http.route import RawResponse
from aizen_hub.service.panel.mine.account import SIGNED_OUT, account_data, render_account
from aizen_hub.service.panel.mine.qr_code import QrCode
from aizen_hub.service.panel.pages import authorized_value, form_route
from aizen_hub.service.panel.rendering import see_other
from aizen_hub.service.panel.visibility import Viewer
from aizen_hub.service.pipeline.request_context import RequestContext
from aizen_hub.tokens.key_encryption import KeyEncryption


class SecondFactorForm(Form):
    encrypted_secret: Annotated[str, Field(max_length=500)]
    code: Annotated[str, Field(max_length=16)]


async def start_second_factor(ctx: RequestContext) -> RawResponse:
    def read(viewer: Viewer) -> dict[str, Any]:
        data = account_data(viewer)
        if not data["is_local"]:
            raise NotFound("your sign-in is not managed here", remedy="set up a second factor where you sign in")
        pending_changes.require_recent_login(viewer.tx)
        return data

    enrolment = second_factor.begin_enrolment(ctx.identity.name, _encryption(ctx))
    return await render_account(ctx, read=read, enrolment=enrolment, qr=QrCode.of_text(enrolment.uri))


async def enable_second_factor(ctx: RequestContext) -> RawResponse:
    encryption, body = _encryption(ctx), ctx.body
    result = await authorized_value(
        ctx, lambda tx: second_factor.enable_second_factor(tx, encryption, body.encrypted_secret, body.code)
    )
    # Rendered without a redirect, since the codes are shown only once.
    notice = f"Every sign-in now asks for a code as well. {SIGNED_OUT}"
    return await render_account(ctx, notice=notice, codes=result.data["codes"])


async def renew_recovery_codes(ctx: RequestContext) -> RawResponse:
    encryption = _encryption(ctx)
    result = await authorized_value(ctx, lambda tx: second_factor.renew_recovery_codes(tx, encryption))
    return await render_account(ctx, notice="The former recovery codes have ended.", codes=result.data["codes"])


async def disable_second_factor(ctx: RequestContext) -> RawResponse:
    await authorized_value(ctx, lambda tx: second_factor.disable_second_factor(tx, ctx.identity.name))
    return see_other(ctx, "account?done=off")


def _encryption(ctx: RequestContext) -> KeyEncryption:
    encryption = ctx.service.keys.encryption
    assert encryption is not None, "a sealed service does not handle this request"
    return encryption


ROUTES = (
    form_route("/account/codes", start_second_factor, "Start to set up a second factor.", EmptyForm),
    form_route("/account/codes/on", enable_second_factor, "Enable a second factor.", SecondFactorForm),
    form_route("/account/codes/new", renew_recovery_codes, "Make new recovery codes.", EmptyForm),
    form_route("/account/codes/off", disable_second_factor, "Disable the second factor.", EmptyForm),
)
