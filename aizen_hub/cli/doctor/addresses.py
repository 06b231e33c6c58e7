"""Checks of addresses: what listens where, what crosses the network unencrypted, and whose headers are trusted."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from ipaddress import ip_address, ip_network
from urllib.parse import urlsplit

from aizen_hub.cli.doctor.secret_settings import find_webhook_url
from aizen_hub.diagnosis.check_result import CheckResult, in_settings
from aizen_hub.diagnosis.installation import Installation
from aizen_hub.settings import Settings
from aizen_hub.validation.web_address import split_address

_ENCRYPTED = "where the network itself encrypts, name the host in encrypted_hosts"


def check_own_addresses(installation: Installation) -> Iterator[CheckResult]:
    settings = installation.settings
    service, metrics = settings.service, settings.metrics
    parts = urlsplit(settings.service_url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        yield CheckResult.error(
            "service-url",
            in_settings("service.url"),
            f"`{settings.service_url}` is not an http or https address",
            "service: {url: https://aizen.example.org}",
        )
    elif parts.scheme == "http" and crosses_network(settings, parts.hostname):
        yield CheckResult.warning(
            "plain-http",
            in_settings("service.url" if service.url else "service.host"),
            f"role tokens and commands cross the network unencrypted to {settings.service_url}",
            f"put a proxy with TLS before the service, and set service.url to its https address; {_ENCRYPTED}",
            production=True,
        )
    listeners = [("service.host", service.host)]
    if metrics.port is not None:
        listeners.append(("metrics.host", metrics.host))
    for key, host in listeners:
        fault = _find_bind_fault(host)
        if fault:
            yield CheckResult.error(
                "listen-host",
                in_settings(key),
                f"this machine cannot listen at `{host}`: {fault}",
                "name an address of this machine, or 127.0.0.1",
            )
    metrics_host = service.host if metrics.port is None else metrics.host
    if metrics.token_file is None and not is_on_this_machine(metrics_host):
        yield CheckResult.warning(
            "metrics-open",
            in_settings("metrics.token_file"),
            f"everyone who reaches {metrics_host} can read the metrics",
            "openssl rand -hex 32 into a file of mode 0600, and name it as metrics.token_file",
        )


def check_other_addresses(installation: Installation) -> Iterator[CheckResult]:
    settings = installation.settings
    tracing = settings.service.tracing
    urls = (
        *(
            (f"further_hubs.{hub.id}.api_url", hub.api_url, "its secret and names of users")
            for hub in settings.further_hubs
        ),
        ("hub.api_url", settings.hub.api_url if settings.hub else None, "tokens of users and of the service"),
        ("core.url", settings.core.url if settings.core else None, "commands and their tokens"),
        (*find_webhook_url(settings), "alerts about users and roles"),
        ("service.tracing.endpoint", tracing.endpoint if tracing else None, "traces and the token for their collector"),
    )
    for key, url, content in urls:
        if url is None:
            continue
        parts = split_address(url)
        if parts is None or parts.scheme not in ("http", "https") or not parts.hostname:
            yield CheckResult.error(
                "url",
                in_settings(key),
                f"{'what it holds' if key.endswith('_file') else f'`{url[:100]}`'} is not an http or https address",
                "write the https address into that file" if key.endswith("_file") else f"{key}: https://…",
            )
        elif parts.scheme == "http" and crosses_network(settings, parts.hostname):
            yield CheckResult.warning(
                "plain-http",
                in_settings(key),
                f"{content} cross the network unencrypted to {parts.netloc}",
                f"write the https address as {key}; {_ENCRYPTED}",
                production=True,
            )
    mail = settings.alerts.mail
    if mail is not None and not mail.starttls and crosses_network(settings, mail.host):
        content = "the password of the mail account and alerts" if mail.username else "alerts"
        yield CheckResult.warning(
            "plain-mail",
            in_settings("alerts.mail.starttls"),
            f"{content} cross the network unencrypted to {mail.host}",
            f"alerts: {{mail: {{starttls: true}}}}; {_ENCRYPTED}",
            production=True,
        )
    yield from _check_database_tls(installation)


def check_trusted_proxies(installation: Installation) -> Iterator[CheckResult]:
    proxies = installation.settings.service.trusted_proxies
    where = in_settings("service.trusted_proxies")
    if not proxies:
        yield CheckResult.warning(
            "trusted-proxies",
            where,
            "no proxy is trusted: all users seem to come from the proxy's address, and are throttled together",
            'service: {trusted_proxies: [127.0.0.1, "::1"]}, or the address of the hub\'s proxy',
        )
    for entry in proxies:
        fault = _find_proxy_fault(entry)
        if fault:
            yield CheckResult.error(
                "trusted-proxies",
                where,
                f"`{entry[:50]}` {fault}",
                "list the address of each proxy of yours, or a network in which nothing else is, such as 10.1.2.0/24",
            )


def crosses_network(settings: Settings, host: str) -> bool:
    """Return whether what is sent to a host without TLS can be read on the way."""
    return not is_on_this_machine(host) and host not in settings.encrypted_hosts


def is_on_this_machine(host: str) -> bool:
    """Return whether what is sent to a host stays on this machine."""
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _find_bind_fault(host: str) -> str | None:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host or None, 0, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind, protocol) as listener:
            listener.bind(address)
    except OSError as error:
        return (error.strerror or type(error).__name__).lower()
    return None


def _find_proxy_fault(entry: str) -> str | None:
    try:
        address = ip_address(entry)
    except ValueError:
        try:
            network = ip_network(entry, strict=False)
        except ValueError:
            everyone = entry.strip() in ("*", "all")
            return "is no address" + (": it means everyone, who could then claim any address" if everyone else "")
        if network.prefixlen == 0:
            return "means everyone, who could then claim any address"
        if str(network.network_address) != entry.partition("/")[0]:
            return f"is an address within the network {network}, and has no effect"
        return "is no network of proxies" if network.is_multicast else None
    return "is no address of a proxy" if address.is_unspecified or address.is_multicast else None


def _check_database_tls(installation: Installation) -> Iterator[CheckResult]:
    from aizen_hub.store.database import database_url

    settings = installation.settings
    for key, address in (("database", settings.database), ("checkpoint_database", settings.checkpoint_database)):
        url = None if address is None else database_url(address)
        if url is None or url.get_backend_name() != "postgresql":
            continue
        # What the driver is given: several hosts are named in the query (`?host=db1:5432&host=db2:5432`).
        hosts = str(url.get_dialect()().create_connect_args(url)[1].get("host") or "").split(",")
        remote = [host for host in hosts if host and not host.startswith("/") and crosses_network(settings, host)]
        if not remote:
            continue
        mode = url.query.get("sslmode", "prefer")
        if mode not in ("require", "verify-ca", "verify-full"):
            yield CheckResult.warning(
                "plain-database",
                in_settings(key),
                f"the connection to the database at {remote[0]} may be unencrypted: sslmode is {mode}",
                f"add ?sslmode=verify-full&sslrootcert=FILE to the address of the database; {_ENCRYPTED}",
                production=True,
            )
