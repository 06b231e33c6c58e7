"""The hub reports who proved to be whom, and has passwords of local accounts checked; accounts are activated."""

from __future__ import annotations

from datetime import UTC, datetime

from aizen_hub.accounts.credentials import activation, passwords, second_factor
from aizen_hub.accounts.credentials import login_throttle as throttle
from aizen_hub.accounts.credentials import recent_logins as sign_ins
from aizen_hub.accounts.logins import linked_logins as further_logins
from aizen_hub.accounts.logins import logins
from aizen_hub.commands.result import plain
from aizen_hub.rbac.identity import Identity
from aizen_hub.service.api.schemas.hub_logins import (
    Activation,
    Fresh,
    FreshSignIn,
    Linked,
    LinkReport,
    LoginAttempt,
    LoginOutcome,
    LoginReport,
    LoginTurn,
    PasswordCheck,
    PasswordOutcome,
)
from aizen_hub.service.auth.authenticator import HUB
from aizen_hub.service.http.route import ROAD, Answer, Credential, Route
from aizen_hub.service.pipeline.request_context import Call
from aizen_hub.store.actor import Actor, Road
from aizen_hub.store.transaction import Write

BY_HUB = frozenset({Credential.HUB_SECRET})
NOBODY = frozenset({Credential.NONE})
_LINK_HOLDER = Identity.service_account("activation-link")


async def report(call: Call) -> Answer:
    body = call.body

    def work(tx: Write) -> logins.LoginAnswer:
        if body.typed is not None:
            throttle.forgive(tx, body.provider, body.typed, body.source)
        return logins.report(
            tx,
            body.provider,
            body.subject,
            body.name,
            body.display_name or "",
            body.email,
            body.groups,
            refresh=body.refresh,
        )

    answer = await call.alone(Actor(HUB, Road.HUB, source=body.source or call.caller.source), work)
    call.house.metrics.login(f"refresh-{answer.outcome}" if body.refresh else str(answer.outcome))
    return Answer(answer.to_json())


async def attempt(call: Call) -> Answer:
    """Count an attempt to sign in that a provider will judge, and say whether it may be made at all."""
    body, actor = call.body, Actor(HUB, Road.HUB, source=call.body.source or call.caller.source)
    work = throttle.void if body.void else throttle.enter
    wait = await call.alone(actor, lambda tx: work(tx, body.provider, body.name, body.source))
    if wait is not None:
        call.house.metrics.login("attempt-throttled")
    return Answer({"retry_after": wait})


async def password(call: Call) -> Answer:
    """Check a password: counted in one transaction, compared outside of any, closed in a second one."""
    body, actor = call.body, Actor(HUB, Road.HUB, source=call.body.source or call.caller.source)
    attempt = await call.alone(actor, lambda tx: passwords.begin(tx, body.provider, body.name, body.source))
    matched = await call.house.pools.passwords.run(lambda: attempt.verify(body.password))
    encryption = call.house.keys.encryption

    def close(tx: Write) -> passwords.PasswordAnswer:
        # One answer for a wrong password and a wrong code, and no code is used up by a wrong password.
        passed = matched and second_factor.passes(tx, encryption, str(attempt.user), body.totp)
        return passwords.finish(tx, attempt, passed)

    answer = await call.alone(actor, close)
    call.house.metrics.login(f"password-{answer.outcome}")
    return Answer(answer.to_json())


async def fresh(call: Call) -> Answer:
    """Note that the person at a browser session has just proven again who they are (R77)."""
    body, actor = call.body, Actor(HUB, Road.HUB, source=call.body.source or call.caller.source)
    at = None if body.authenticated_at is None else datetime.fromtimestamp(body.authenticated_at, UTC)
    until = await call.alone(
        actor, lambda tx: sign_ins.report(tx, body.user, body.provider, body.subject, body.session, at)
    )
    return Answer({"fresh_until": plain(until)})


async def link(call: Call) -> Answer:
    """Link a further login of a person who proved both in one browser session."""
    body, actor = call.body, Actor(HUB, Road.HUB, source=call.body.source or call.caller.source)
    result = await call.alone(
        actor, lambda tx: further_logins.link_own(tx, body.user, body.provider, body.subject, body.session)
    )
    return Answer({"message": result.message})


async def activate(call: Call) -> Answer:
    """Redeem an activation link: the token in the body is the credential."""
    body = call.body
    actor = Actor(_LINK_HOLDER, Road.PANEL, source=call.caller.source)
    # Hashed before the transaction, as it is slow on purpose, and only where the link is good.
    password: str | passwords.NewPassword = body.password
    if await call.look(lambda tx: activation.is_good(tx, body.token)):
        password = await call.house.pools.passwords.run(lambda: passwords.NewPassword.of(body.password))
    await call.alone(actor, lambda tx: activation.redeem(tx, body.token, password))
    return Answer(status=204)


ROUTES = (
    Route(
        "POST",
        "/api/v1/login",
        BY_HUB,
        ROAD,
        report,
        "Report a proven login.",
        body=LoginReport,
        answer=LoginOutcome,
        max_body=1 << 20,  # a thousand distinguished names
    ),
    Route(
        "POST",
        "/api/v1/login/attempts",
        BY_HUB,
        ROAD,
        attempt,
        "Count an attempt to sign in by a provider's password.",
        body=LoginAttempt,
        answer=LoginTurn,
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
        "POST",
        "/api/v1/login/fresh",
        BY_HUB,
        ROAD,
        fresh,
        "Report that somebody at a browser has signed in again.",
        body=FreshSignIn,
        answer=Fresh,
    ),
    Route(
        "POST",
        "/api/v1/login/link",
        BY_HUB,
        ROAD,
        link,
        "Link a further login that somebody has proven beside their own.",
        body=LinkReport,
        answer=Linked,
    ),
    Route(
        "POST", "/api/v1/activate", NOBODY, ROAD, activate, "Redeem an activation link.", body=Activation, status=204
    ),
)
