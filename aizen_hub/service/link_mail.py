"""Delivery of activation links by mail, after the commit: the links themselves are stored nowhere."""

from __future__ import annotations

import asyncio
import logging
import smtplib
from collections.abc import Iterable
from typing import TYPE_CHECKING

from aizen_hub.accounts.credentials.mailed_links import MailedLink, compose_link_mail
from aizen_hub.alerts.mail import send_mail
from aizen_hub.problems import Unavailable

if TYPE_CHECKING:
    from aizen_hub.service.context import ServiceContext

log = logging.getLogger(__name__)


async def send_links(service: ServiceContext, outgoing: Iterable[MailedLink]) -> None:
    """Send the links.

    Raises
    ------
    Unavailable
        The mail server did not take a link, which is then lost: another one has to be created.
    """
    settings, panel_url = service.settings.alerts.mail, service.browser_login.hub_location.panel_url
    for mailed in outgoing:
        assert settings is not None, "a link is stored only if a mail server is configured"
        message = compose_link_mail(mailed, panel_url)
        try:
            await asyncio.to_thread(send_mail, settings, mailed.address, message)
        except (OSError, smtplib.SMTPException, ValueError) as error:
            log.warning("an activation link was not sent", extra={"data": {"why": type(error).__name__}})
            raise Unavailable(
                f"the mail server did not accept the link for `{mailed.user}` ({type(error).__name__})",
                remedy=f"check `alerts.mail` in aizen.yaml and the address of `{mailed.user}`; try again in a minute",
            ) from None
