"""Delivery of one e-mail by SMTP (RFC 5321), with verified TLS unless the configuration disables it."""

from __future__ import annotations

import smtplib
import ssl
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import formatdate, make_msgid

from aizen_hub.alerts.message import AlertMessage
from aizen_hub.settings import MailSettings

_SECONDS = 10.0


def send_mail(settings: MailSettings, address: str, message: AlertMessage) -> None:
    """Deliver one message; blocks up to ten seconds per step, so never on an event loop.

    Raises
    ------
    OSError, smtplib.SMTPException
        The server is unreachable, rejects the message, or has an invalid certificate.
    ValueError
        The address is invalid.
    """
    mail = EmailMessage()
    mail["From"] = settings.sender
    mail["To"] = Address(addr_spec=address)  # exactly one recipient, whatever the address contains
    mail["Subject"] = message.subject
    mail["Date"] = formatdate()
    mail["Message-ID"] = make_msgid(domain="aizen-hub.invalid")
    mail.set_content(message.body)
    with smtplib.SMTP(settings.host, settings.port, timeout=_SECONDS) as server:
        if settings.starttls:
            server.starttls(context=ssl.create_default_context())
        if settings.username:
            if settings.password_file is None:
                raise smtplib.SMTPException("`alerts.mail.username` is set, but `alerts.mail.password_file` is not")
            server.login(settings.username, settings.password_file.read_text(encoding="utf-8").strip())
        server.send_message(mail)
