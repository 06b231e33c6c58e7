"""Delivery of activation links by mail, after the commit: the links themselves are stored nowhere."""

from __future__ import annotations

import asyncio
import logging
import smtplib
from collections.abc import Iterable

from aizen_hub.accounts.credentials.mailed_links import MailedLink, compose_link_mail
from aizen_hub.alerts.mail import send_mail
from aizen_hub.problems import Unavailable
from aizen_hub.settings import MailSettings

log = logging.getLogger(__name__)


class LinkMailer:
    """Sends activation links.

    Parameters
    ----------
    settings : MailSettings or None
        None: no mail server is configured, and no link is stored for sending.
    panel_url : str
        Public address of the panel, which the links begin with.
    """

    def __init__(self, settings: MailSettings | None, panel_url: str) -> None:
        self._settings, self._panel_url = settings, panel_url

    async def send(self, outgoing: Iterable[MailedLink]) -> None:
        """Send the links.

        Raises
        ------
        Unavailable
            The mail server did not take a link, which is then lost: another one has to be created.
        """
        for mailed in outgoing:
            assert self._settings is not None, "a link is stored only if a mail server is configured"
            message = compose_link_mail(mailed, self._panel_url)
            try:
                await asyncio.to_thread(send_mail, self._settings, mailed.address, message)
            except (OSError, smtplib.SMTPException, ValueError) as error:
                log.warning("an activation link was not sent", extra={"data": {"why": type(error).__name__}})
                raise Unavailable(
                    f"the mail server did not accept the link for `{mailed.user}` ({type(error).__name__})",
                    remedy=f"check `alerts.mail` in aizen.yaml and the address of `{mailed.user}`; "
                    "try again in a minute",
                ) from None
