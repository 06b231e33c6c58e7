"""Check of the certificates that the public addresses of hub and service show, also where a proxy has them."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from cryptography.x509 import load_der_x509_certificate
from traitlets.config import Config

from aizen_hub.diagnosis.check_result import CheckResult, in_hub_config, in_settings
from aizen_hub.diagnosis.installation import Installation
from aizen_hub.validation.web_address import split_address

NOTICE = timedelta(days=14)
_SECONDS = 3.0


def check_settings_certificates(installation: Installation) -> Iterator[CheckResult]:
    """Check the addresses of `aizen.yaml`."""
    settings = installation.settings
    yield from _check_address(in_settings("service.url"), settings.service_url)
    if settings.hub is not None:
        yield from _check_address(in_settings("hub.url"), settings.hub.url)


def check_hub_certificate(hub: Config, _installation: Installation) -> Iterator[CheckResult]:
    """Check the public address of the hub's own configuration."""
    key = "subdomain_host" if hub.JupyterHub.get("subdomain_host") else "bind_url"
    yield from _check_address(in_hub_config(f"c.JupyterHub.{key}"), str(hub.JupyterHub.get(key) or ""))


def report_end(where: str, what: str, ends: datetime) -> Iterator[CheckResult]:
    """Report a certificate that has ended, or will before it is likely to be noticed."""
    left = ends - datetime.now(UTC)
    if left < NOTICE:
        verb = "expired" if left < timedelta() else "expires"
        yield CheckResult(
            "certificate",
            "fail" if left < timedelta() else "warn",
            where,
            f"the certificate {what} {verb} at {ends.isoformat(timespec='minutes')}",
            "renew it, and restart the hub or its proxy",
            production=True,
        )


def read_end(host: str, port: int) -> datetime:
    """Return when the certificate that a server shows ends.

    It is not verified: what is asked here is its age, also of one that has ended already.

    Raises
    ------
    OSError
        The server does not answer, or not with TLS.
    ValueError
        What it shows is no certificate.
    """
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with (
        socket.create_connection((host, port), timeout=_SECONDS) as connection,
        context.wrap_socket(connection, server_hostname=host) as tls,
    ):
        certificate = tls.getpeercert(binary_form=True)
    return load_der_x509_certificate(certificate or b"").not_valid_after_utc


def _check_address(where: str, url: str) -> Iterator[CheckResult]:
    parts = split_address(url)
    if parts is None or parts.scheme != "https" or not parts.hostname:
        return  # reported with the addresses
    name = f"{parts.hostname}:{parts.port or 443}"
    try:
        ends = read_end(parts.hostname, parts.port or 443)
    except (OSError, ValueError) as error:
        # This machine may have no way to the public address: that is no fault.
        reason = error.strerror if isinstance(error, OSError) and error.strerror else type(error).__name__
        yield CheckResult.passed("certificate", f"not checked: the certificate of {name}: {reason}")
        return
    found = list(report_end(where, f"of {name}", ends))
    yield from found
    if not found:
        yield CheckResult.passed("certificate", f"the certificate of {name} is valid until {ends.date()}")
