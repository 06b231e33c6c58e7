"""Routes by which the hub reports logins and checks local passwords, and the activation of accounts."""

from __future__ import annotations

from datetime import UTC, datetime

from aizen_hub.accounts import hub_providers
from aizen_hub.accounts.credentials import activation, login_throttle, passwords, recent_logins, second_factor
from aizen_hub.accounts.logins import departures, linked_logins, login_report
from aizen_hub.accounts.users import registration_requests
from aizen_hub.api_models.logins import (
    DepartureReport,
    LinkReport,
    LinkResponse,
    LoginAttempt,
    LoginReport,
    LoginResponse,
    PasswordCheck,
    PasswordCheckResponse,
    RecentLoginReport,
    RecentLoginResponse,
    RegistrationRequest,
    ThrottleResponse,
)
from aizen_hub.commands.result import to_json_value
from aizen_hub.rbac.identity import Identity
from aizen_hub.service.api.hub.hub_actor import hub_actor
from aizen_hub.service.api.schemas.activation import Activation
from aizen_hub.service.http.route import CREDENTIAL_SUFFICES, AuthMethod, JsonResponse, Route
from aizen_hub.service.pipeline.request_context import RequestContext
from aizen_hub.store.actor import Actor, Channel
from aizen_hub.store.transaction import WriteTransaction

BY_HUB_SECRET = frozenset({AuthMethod.HUB_SECRET})
WITHOUT_CREDENTIAL = frozenset({AuthMethod.NONE})
_LINK_HOLDER = Identity.service_account("activation-link")


async def report_login(ctx: RequestContext) -> JsonResponse:
    body = ctx.body

    def operation(tx: WriteTransaction) -> login_report.LoginResult:
        if body.entered_name is not None:
            login_throttle.reset_failures(tx, body.provider, body.entered_name, body.source)
        return login_report.report_login(
            tx,
            body.provider,
            body.subject,
            body.name,
            body.display_name or "",
            body.email,
            body.groups,
            refresh=body.refresh,
            unattended=body.unattended,
        )

    result = await ctx.unauthorized_write(_hub_of_provider(ctx), operation)
    if body.answered_in is not None:
        # After the write, which refuses a provider that is not configured.
        ctx.service.state.response_times.add(body.provider, body.answered_in)
    ctx.service.metrics.count_login(f"refresh-{result.outcome}" if body.refresh else str(result.outcome))
    return JsonResponse(result.to_json())


async def report_departure(ctx: RequestContext) -> JsonResponse:
    body = ctx.body
    await ctx.unauthorized_write(
        _hub_of_provider(ctx), lambda tx: departures.record_departure(tx, body.provider, body.subject)
    )
    return JsonResponse(status=204)


async def request_registration(ctx: RequestContext) -> JsonResponse:
    body = ctx.body
    await ctx.unauthorized_write(
        _hub_of_provider(ctx),
        lambda tx: registration_requests.request_registration(
            tx, body.provider, body.name, display_name=body.display_name, email=body.email
        ),
    )
    return JsonResponse(status=204)


async def count_attempt(ctx: RequestContext) -> JsonResponse:
    """Count a login attempt before its provider checks it; returns how long it is throttled."""
    body, actor = ctx.body, _hub_of_provider(ctx)
    operation = login_throttle.undo_attempt if body.undo else login_throttle.count_attempt
    wait = await ctx.unauthorized_write(actor, lambda tx: operation(tx, body.provider, body.name, body.source))
    if wait is not None:
        ctx.service.metrics.count_login("attempt-throttled")
    return JsonResponse({"retry_after": wait})


async def check_password(ctx: RequestContext) -> JsonResponse:
    """Check a password: the attempt is counted in one transaction, compared outside, and finished in a second one."""
    body, actor = ctx.body, _hub_of_provider(ctx)
    attempt = await ctx.unauthorized_write(
        actor, lambda tx: passwords.start_check(tx, body.provider, body.name, body.source)
    )
    matches = await ctx.service.pools.passwords.run(lambda: attempt.verify(body.password))
    encryption = ctx.service.keys.encryption

    def finish(tx: WriteTransaction) -> passwords.PasswordResult:
        # A wrong password and a wrong code have the same response, and a wrong password uses up no code.
        is_valid = matches and second_factor.check_code(tx, encryption, str(attempt.user), body.totp)
        return passwords.finish_check(tx, attempt, is_valid)

    result = await ctx.unauthorized_write(actor, finish)
    ctx.service.metrics.count_login(f"password-{result.outcome}")
    return JsonResponse(result.to_json())


async def report_recent_login(ctx: RequestContext) -> JsonResponse:
    """Record that the user of a browser session has signed in again (R77)."""
    body, actor = ctx.body, _hub_of_provider(ctx)
    hub_providers.require_main_hub(actor.hub, "signing in again")
    at = None if body.authenticated_at is None else datetime.fromtimestamp(body.authenticated_at, UTC)
    until = await ctx.unauthorized_write(
        actor, lambda tx: recent_logins.record_login(tx, body.user, body.provider, body.subject, body.session, at)
    )
    return JsonResponse({"recent_until": to_json_value(until)})


async def link_login(ctx: RequestContext) -> JsonResponse:
    """Link a further login of a user who signed in with both in one browser session."""
    body, actor = ctx.body, _hub_of_provider(ctx)
    hub_providers.require_main_hub(actor.hub, "linking a login")
    result = await ctx.unauthorized_write(
        actor, lambda tx: linked_logins.link_own_login(tx, body.user, body.provider, body.subject, body.session)
    )
    return JsonResponse({"message": result.message})


def _hub_of_provider(ctx: RequestContext) -> Actor:
    """Return the hub that reports something of a provider, with the client address that it reports.

    Raises
    ------
    Denied
        The hub does not have that provider.
    """
    actor = hub_actor(ctx, source=ctx.body.source)
    hub_providers.require_provider(ctx.service.settings, actor.hub, ctx.body.provider)
    return actor


async def activate_account(ctx: RequestContext) -> JsonResponse:
    """Redeem an activation link: the token in the body is the credential."""
    body = ctx.body
    actor = Actor(_LINK_HOLDER, Channel.PANEL, source=ctx.principal.source)
    # Hashed before the transaction, since hashing is slow by design, and only if the link is valid.
    password: str | passwords.NewPassword = body.password
    if await ctx.unauthorized_read(lambda tx: activation.is_link_valid(tx, body.token)):
        password = await ctx.service.pools.passwords.run(lambda: passwords.NewPassword.from_text(body.password))
    await ctx.unauthorized_write(actor, lambda tx: activation.redeem_link(tx, body.token, password))
    return JsonResponse(status=204)


ROUTES = (
    Route(
        "POST",
        "/api/v1/login",
        BY_HUB_SECRET,
        CREDENTIAL_SUFFICES,
        report_login,
        "Report a login that a provider authenticated.",
        body=LoginReport,
        response=LoginResponse,
        max_body=1 << 20,  # a thousand distinguished names
    ),
    Route(
        "POST",
        "/api/v1/login/departures",
        BY_HUB_SECRET,
        CREDENTIAL_SUFFICES,
        report_departure,
        "Report that a provider does not know a user any more.",
        body=DepartureReport,
        status=204,
    ),
    Route(
        "POST",
        "/api/v1/login/registrations",
        BY_HUB_SECRET,
        CREDENTIAL_SUFFICES,
        request_registration,
        "Report that a person whom a provider signed in asks to be registered.",
        body=RegistrationRequest,
        status=204,
    ),
    Route(
        "POST",
        "/api/v1/login/attempts",
        BY_HUB_SECRET,
        CREDENTIAL_SUFFICES,
        count_attempt,
        "Count a login attempt with a provider's password.",
        body=LoginAttempt,
        response=ThrottleResponse,
    ),
    Route(
        "POST",
        "/api/v1/login/password",
        BY_HUB_SECRET,
        CREDENTIAL_SUFFICES,
        check_password,
        "Check the password of a local account.",
        body=PasswordCheck,
        response=PasswordCheckResponse,
    ),
    Route(
        "POST",
        "/api/v1/login/recent",
        BY_HUB_SECRET,
        CREDENTIAL_SUFFICES,
        report_recent_login,
        "Report that the user of a browser session has signed in again.",
        body=RecentLoginReport,
        response=RecentLoginResponse,
    ),
    Route(
        "POST",
        "/api/v1/login/link",
        BY_HUB_SECRET,
        CREDENTIAL_SUFFICES,
        link_login,
        "Link a further login that a user has signed in with.",
        body=LinkReport,
        response=LinkResponse,
    ),
    Route(
        "POST",
        "/api/v1/activate",
        WITHOUT_CREDENTIAL,
        CREDENTIAL_SUFFICES,
        activate_account,
        "Redeem an activation link.",
        body=Activation,
        status=204,
    ),
)
