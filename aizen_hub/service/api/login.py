"""The hub reports who proved to be whom, and has passwords of local accounts checked; accounts are activated."""

from __future__ import annotations

from aizen_hub.accounts import activation, logins, passwords
from aizen_hub.rbac.identity import Identity
from aizen_hub.service.call import Call
from aizen_hub.service.roads import HUB
from aizen_hub.service.route import ROAD, Answer, Credential, Route
from aizen_hub.service.schemas.login import Activation, LoginOutcome, LoginReport, PasswordCheck, PasswordOutcome
from aizen_hub.store.actor import Actor, Road
from aizen_hub.store.transaction import Write

BY_HUB = frozenset({Credential.HUB_SECRET})
NOBODY = frozenset({Credential.NONE})
_LINK_HOLDER = Identity.service_account("activation-link")


async def report(call: Call) -> Answer:
    body = call.body

    def work(tx: Write) -> logins.LoginAnswer:
        return logins.report(
            tx, body.provider, body.subject, body.name, body.display_name or "", body.email, body.groups
        )

    answer = await call.alone(Actor(HUB, Road.HUB, source=body.source or call.caller.source), work)
    call.house.metrics.login(str(answer.outcome))
    return Answer(answer.to_json())


async def password(call: Call) -> Answer:
    """Check a password: counted in one transaction, compared outside of any, closed in a second one."""
    body, actor = call.body, Actor(HUB, Road.HUB, source=call.body.source or call.caller.source)
    attempt = await call.alone(actor, lambda tx: passwords.begin(tx, body.provider, body.name, body.source))
    matched = await call.house.pools.passwords.run(lambda: attempt.verify(body.password))
    answer = await call.alone(actor, lambda tx: passwords.finish(tx, attempt, matched))
    call.house.metrics.login(f"password-{answer.outcome}")
    return Answer(answer.to_json())


async def activate(call: Call) -> Answer:
    """Redeem an activation link: the token in the body is the credential."""
    body = call.body
    actor = Actor(_LINK_HOLDER, Road.PANEL, source=call.caller.source)
    await call.alone(actor, lambda tx: activation.redeem(tx, body.token, body.password))
    return Answer(status=204)


ROUTES = (
    Route(
        "POST", "/api/v1/login", BY_HUB, ROAD, report, "Report a proven login.", body=LoginReport, answer=LoginOutcome
    ),
    Route(
        "POST",
        "/api/v1/login/password",
        BY_HUB,
        ROAD,
        password,
        "Check the password of a local account.",
        body=PasswordCheck,
        answer=PasswordOutcome,
    ),
    Route(
        "POST", "/api/v1/activate", NOBODY, ROAD, activate, "Redeem an activation link.", body=Activation, status=204
    ),
)
