"""Checks of the hub's final configuration: protections, addresses, certificate, and the way to the service."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from traitlets import TraitError
from traitlets.config import Config

from aizen_hub.cli.doctor.addresses import is_on_this_machine
from aizen_hub.cli.doctor.certificates import report_end
from aizen_hub.cli.doctor.programs import SPAWNER_ERRORS, find_spawner_class
from aizen_hub.diagnosis.check_result import CheckResult, in_hub_config, in_settings
from aizen_hub.diagnosis.installation import Installation

if TYPE_CHECKING:
    from aizen_hub.hub.violation import Violation

_DEFAULT_URL, _HUB_PORT, _PROXY_API_PORT = "http://:8000", 8081, 8001


def check_protections(hub: Config, installation: Installation) -> Iterator[CheckResult]:
    """Report what the hub refuses or warns of at its start, without starting it."""
    from jupyterhub.app import JupyterHub

    from aizen_hub.hub.config_guard import find_violations
    from aizen_hub.hub.login.authenticator import AizenAuthenticator

    class AuthenticatorSettings(AizenAuthenticator):
        """The settings of the authenticator, without its files, providers and connections."""

        def __init__(self, **kwargs: Any) -> None:
            super(AizenAuthenticator, self).__init__(**kwargs)

    if not _has_spawner(hub):
        return
    try:
        app = JupyterHub(config=hub)
        app.authenticator = AuthenticatorSettings(parent=app)
    except TraitError as error:
        yield CheckResult.error(
            "hub-setting", str(installation.hub_config_path), f"a setting of the hub is invalid: {error}", "correct it"
        )
        return
    violations = list(find_violations(app, installation.settings))
    for violation in violations:
        if (
            violation.setting == "JupyterHub.spawner_class"
            and not violation.fatal
            and installation.settings.insecure_same_uid
        ):
            continue  # reported as `insecure_same_uid`
        yield CheckResult(
            "hub-protection",
            "fail" if violation.fatal else "warn",
            in_hub_config(f"c.{violation.setting}"),
            _word(violation),
            violation.remedy,
            production=violation.setting == "JupyterHub.subdomain_host",
        )
    if not any(violation.fatal for violation in violations):
        yield CheckResult.passed("hub-protection", "no setting of the hub disables a protection that it needs")


def _word(violation: Violation) -> str:
    """Return its explanation; one without a subject of its own is about the setting."""
    has_subject = not violation.explanation.startswith(("is ", "has ", "lets ", "longer "))
    return violation.explanation if has_subject else f"`c.{violation.setting}` {violation.explanation}"


def check_address(hub: Config, installation: Installation) -> Iterator[CheckResult]:
    key = "subdomain_host" if hub.JupyterHub.get("subdomain_host") else "bind_url"
    url = str(hub.JupyterHub.get(key) or _DEFAULT_URL)
    parts = urlsplit(url)
    host = parts.hostname or ""
    has_certificate = bool(hub.JupyterHub.get("ssl_cert"))
    if parts.scheme == "http" and not is_on_this_machine(host) and not has_certificate:
        yield CheckResult.warning(
            "plain-http",
            in_hub_config(f"c.JupyterHub.{key}"),
            f"passwords and cookies cross the network unencrypted to {url}, unless a proxy with TLS is before the hub",
            "c.JupyterHub.subdomain_host = 'https://hub.example.org', with c.JupyterHub.ssl_cert or a proxy with TLS",
            production=True,
        )
    headers = (hub.JupyterHub.get("tornado_settings") or {}).get("headers") or {}
    if any(name.lower() == "access-control-allow-origin" for name in headers):
        yield CheckResult.error(
            "cors",
            in_hub_config("c.JupyterHub.tornado_settings"),
            "pages of other origins may read the hub's answers in the name of its users (Access-Control-Allow-Origin)",
            "remove that header",
        )


def check_certificate(hub: Config, installation: Installation) -> Iterator[CheckResult]:
    folder = installation.hub_config_path.absolute().parent
    for key in ("ssl_cert", "ssl_key"):
        name = hub.JupyterHub.get(key)
        if not name:
            continue
        path, where = folder / str(name), in_hub_config(f"c.JupyterHub.{key}")
        if not path.is_file():
            yield CheckResult.error("certificate", where, f"there is no file {path}", f"correct c.JupyterHub.{key}")
        elif key == "ssl_key" and stat.S_IMODE(path.stat().st_mode) & 0o077:
            yield CheckResult.error("open-file", str(path), f"other accounts can read {path}", f"chmod 600 {path}")
        elif key == "ssl_cert":
            yield from _check_expiry(path, where)


def check_reachability(hub: Config, installation: Installation) -> Iterator[CheckResult]:
    from aizen_hub.hub.configure import runs_servers_locally

    settings = installation.settings
    host = urlsplit(settings.service_url).hostname or ""
    if _has_spawner(hub) and not runs_servers_locally(hub) and is_on_this_machine(host):
        yield CheckResult.error(
            "service-unreachable",
            in_settings("service.url"),
            f"user servers run elsewhere and cannot reach the service at {settings.service_url}",
            "service: {host: 0.0.0.0, url: https://aizen.example.org}, an address that user servers reach",
        )
    public = urlsplit(str(hub.JupyterHub.get("bind_url") or _DEFAULT_URL))
    ports = {
        "c.JupyterHub.bind_url": public.port or (443 if public.scheme == "https" else 80),
        "c.JupyterHub.hub_port": int(hub.JupyterHub.get("hub_port") or _HUB_PORT),
        "c.ConfigurableHTTPProxy.api_url": urlsplit(
            str(hub.ConfigurableHTTPProxy.get("api_url") or f"http://127.0.0.1:{_PROXY_API_PORT}")
        ).port,
    }
    for key, port in ports.items():
        if settings.service.managed and port == settings.service.port:
            yield CheckResult.error(
                "port-conflict",
                in_settings("service.port"),
                f"service and hub cannot both listen at the port {port} (`{key}`)",
                "give service.port another number",
            )


def _has_spawner(hub: Config) -> bool:
    """Return whether the spawner can be imported; if not, `check_programs` reports it."""
    try:
        find_spawner_class(hub)
    except SPAWNER_ERRORS:
        return False
    return True


def _check_expiry(path: Path, where: str) -> Iterator[CheckResult]:
    from cryptography.x509 import load_pem_x509_certificate

    try:
        ends = load_pem_x509_certificate(path.read_bytes()).not_valid_after_utc
    except ValueError:
        yield CheckResult.error("certificate", where, f"{path} holds no certificate in PEM", "write the chain into it")
        return
    yield from report_end(where, str(path), ends)
