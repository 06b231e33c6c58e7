"""Reports to the service: of an authenticated identity, which it admits or not, and of one that left its provider."""

from __future__ import annotations

import logging

from aizen_hub.api_models.logins import LoginResponse
from aizen_hub.client.service_client import ServiceClient
from aizen_hub.hub.login.provider import (
    NOT_AT_THIS_HUB,
    AccessDeniedError,
    AuthenticatedIdentity,
    ProviderUnreachableError,
    printable,
)
from aizen_hub.hub.service_outage import describe_outage
from aizen_hub.problems import BadInput, Denied, Problem, Unavailable

log = logging.getLogger("aizen_hub.login")


async def report_login(
    service: ServiceClient, identity: AuthenticatedIdentity, source: str | None, *, refresh: bool = False
) -> LoginResponse:
    """Report a login, or a refresh without the user.

    Parameters
    ----------
    source : str, optional
        The client's network address.

    Raises
    ------
    ProviderUnreachableError
        The service does not respond.
    AccessDeniedError
        The service refused the report.
    """
    try:
        return await _send_report(service, identity, source, refresh=refresh)
    except Unavailable as error:
        log.error("login report: %s", error.detail)
        raise ProviderUnreachableError(f"your password was right, but {describe_outage(error)}") from None
    except Problem as error:
        log.error("login report for `%s`: %s", printable(identity.name), error.detail)
        if isinstance(error, Denied):
            raise AccessDeniedError(NOT_AT_THIS_HUB) from None
        # Other refusals concern the hub, such as its secret, and are for its log.
        reason = error.detail if isinstance(error, BadInput) else "contact an administrator of this hub"
        raise AccessDeniedError(f"the access service refused this login: {reason}") from None


async def report_refresh(
    service: ServiceClient, provider: str, subject: str, identity: AuthenticatedIdentity | None
) -> LoginResponse | None:
    """Report what a provider says of a user without the user; None as identity: it does not know the user any more.

    Raises
    ------
    ProviderUnreachableError, AccessDeniedError
        As `report_login`.
    """
    if identity is not None:
        return await report_login(service, identity, None, refresh=True)
    try:
        await service.report_departure(provider, subject)
    except Problem as error:
        # The user is signed out all the same.
        log.warning("departure report: %s", error.detail)
    return None


async def report_reading(
    service: ServiceClient, provider: str, subject: str, identity: AuthenticatedIdentity | None
) -> None:
    """Report what a directory says of a user who was read without any request of the user.

    Raises
    ------
    Problem
        The service refused the report; Unavailable where it does not respond.
    """
    if identity is None:
        await service.report_departure(provider, subject)
    else:
        await _send_report(service, identity, None, refresh=True, unattended=True)


async def _send_report(
    service: ServiceClient,
    identity: AuthenticatedIdentity,
    source: str | None,
    *,
    refresh: bool,
    unattended: bool = False,
) -> LoginResponse:
    return await service.report_login(
        identity.provider,
        identity.subject,
        identity.name,
        display_name=identity.display_name,
        email=identity.email,
        groups=identity.groups,
        source=source,
        entered_name=identity.entered_name,
        refresh=refresh,
        unattended=unattended,
        answered_in=identity.answered_in,
    )
