"""My account: password, second factor and further logins."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from aizen_hub.accounts import pending_changes as pending
from aizen_hub.accounts.credentials import passwords, second_factor
from aizen_hub.accounts.logins import linked_logins as further_logins
from aizen_hub.accounts.users import users
from aizen_hub.authorization import checks as gate
from aizen_hub.problems import BadInput, Denied, NotFound, TooMany
from aizen_hub.service.api.schemas.hub_logins import Provider
from aizen_hub.service.http.route import REGISTERED, Document, Route
from aizen_hub.service.http.schema import Schema, Secret
from aizen_hub.service.panel.approvals import Plain
from aizen_hub.service.panel.rendering import HTML, IN_BROWSER, Form, do, form, render, see_other
from aizen_hub.service.pipeline.request_context import Call
from aizen_hub.store.transaction import Write

_OUT = "You are signed out everywhere in a moment, and your hub tokens end; running servers go on."
_SAID = {
    "password": f"Your password was changed. {_OUT}",
    "on": f"Every sign-in now asks for a code too. {_OUT}",
    "off": f"No codes are asked any more. {_OUT}",
    "linked": "You can sign in with that login too.",
    "unlinked": f"That login opens your account no more. {_OUT}",
}


class AccountQuery(Schema):
    done: Literal["password", "on", "off", "linked", "unlinked"] | None = None


class NewPassword(Form):
    present: Annotated[str, Field(max_length=1024)]
    password: Secret
    again: Secret


class Enabling(Form):
    sealed: Annotated[str, Field(max_length=500)]
    code: Annotated[str, Field(max_length=16)]


class Unlinking(Form):
    provider: Provider


async def account(call: Call) -> Document:
    found = await do(call, _found)
    return render(call, "account.html", said=_SAID.get(call.query.done), enrolment=None, **found)


def _found(tx: Write) -> dict[str, Any]:
    gate.in_person(tx)
    row = users.row_of(tx, tx.actor.identity.name)
    labels = {one.name: one.label or one.name for one in tx.settings.providers}
    further = further_logins.linked(tx, row.name)
    return {
        "user": row,
        "local": users.is_local(tx, row.name),
        "codes": second_factor.is_on(tx, row.name),
        "labels": labels,
        "further": further,
        "others": [one for one in labels if one != row.provider],
        "least": passwords.MIN_CHARACTERS,
    }


async def password(call: Call) -> Document:
    body, name = call.body, call.identity.name
    if body.password != body.again:
        raise BadInput("the two new passwords differ")

    def begin(tx: Write) -> passwords.Attempt:
        gate.in_person(tx)
        row = users.row_of(tx, name)
        if not users.is_local(tx, name):
            raise NotFound("your password is not kept here", remedy="change it where you sign in")
        passwords.check(body.password, name)
        return passwords.begin(tx, row.provider, name, None)

    # Counted in one transaction, compared outside of any, closed in a second one; as at the sign-in.
    attempt = await do(call, begin)
    matched = await call.house.pools.passwords.run(lambda: attempt.verify(body.present))
    new = await call.house.pools.passwords.run(lambda: passwords.NewPassword.of(body.password)) if matched else None

    def finish(tx: Write) -> passwords.PasswordAnswer:
        answer = passwords.finish(tx, attempt, matched)
        if answer.outcome == "verified" and new is not None:
            passwords.put(tx, name, new)
        return answer

    answer = await do(call, finish)
    if answer.outcome == "throttled":
        raise TooMany("too many wrong passwords", more={"retry_after": answer.retry_after or 1}, remedy="wait a while")
    if answer.outcome != "verified":
        raise Denied("your present password is not that", remedy="try again")
    return see_other(call, "account?done=password")


async def begin_codes(call: Call) -> Document:
    def check(tx: Write) -> dict[str, Any]:
        found = _found(tx)
        if not found["local"]:
            raise NotFound("your sign-in is checked elsewhere", remedy="set a second factor up there")
        pending.need_fresh(tx)
        return found

    found = await do(call, check)
    encryption = call.house.keys.encryption
    assert encryption is not None, "a sealed service answers no such request"
    enrolment = second_factor.begin(call.identity.name, encryption)
    return render(call, "account.html", said=None, enrolment=enrolment, **found)


async def enable_codes(call: Call) -> Document:
    encryption = call.house.keys.encryption
    assert encryption is not None, "a sealed service answers no such request"
    await do(call, lambda tx: second_factor.enable(tx, encryption, call.body.sealed, call.body.code))
    return see_other(call, "account?done=on")


async def disable_codes(call: Call) -> Document:
    await do(call, lambda tx: second_factor.disable(tx, call.identity.name))
    return see_other(call, "account?done=off")


async def unlink(call: Call) -> Document:
    await do(call, lambda tx: further_logins.unlink_own(tx, call.body.provider))
    return see_other(call, "account?done=unlinked")


ROUTES = (
    Route(
        "GET",
        "/account",
        IN_BROWSER,
        REGISTERED,
        account,
        "My account.",
        query=AccountQuery,
        media=HTML,
        page=True,
    ),
    form("/account/password", password, "Change one's own password.", NewPassword),
    form("/account/codes", begin_codes, "Begin to use a second factor.", Plain),
    form("/account/codes/on", enable_codes, "Use a second factor.", Enabling),
    form("/account/codes/off", disable_codes, "Use a second factor no more.", Plain),
    form("/account/unlink", unlink, "Take a further login away.", Unlinking),
)
