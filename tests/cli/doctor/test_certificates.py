"""The age of the certificate at the public addresses, asked from a real TLS server."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread

import pytest
from traitlets.config import Config

from aizen_hub.cli.doctor.certificates import check_hub_certificate, check_settings_certificates
from aizen_hub.diagnosis.check_result import CheckResult
from aizen_hub.diagnosis.installation import Installation
from aizen_hub.hub_settings import HubSettings
from aizen_hub.settings import ServiceSettings, Settings
from tests.cli.doctor.test_checks import make_certificate


@contextmanager
def tls_server(folder: Path, days: int) -> Iterator[int]:
    """Serve with a certificate that ends after so many days; yields the port."""
    make_certificate(folder, days)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "hub.crt", folder / "hub.key")
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            try:
                while True:
                    connection, _ = listener.accept()
                    with context.wrap_socket(connection, server_side=True):
                        pass
            except OSError:
                return  # closed

        thread = Thread(target=serve, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
    thread.join(10)


def installation_of(service_url: str, hub_url: str | None = None) -> Installation:
    hub = None if hub_url is None else HubSettings(url=hub_url, api_url="http://127.0.0.1:1/hub/api")
    settings = Settings(data_dir=Path("data"), service=ServiceSettings(url=service_url), hub=hub)
    return Installation(Path("aizen.yaml"), settings, Path("jupyterhub_config.py"))


@pytest.mark.parametrize(
    ("days", "level", "says"), [(300, "ok", "is valid until"), (5, "warn", "expires at"), (-1, "fail", "expired at")]
)
def test_the_age_at_each_address(tmp_path: Path, days: int, level: str, says: str) -> None:
    with tls_server(tmp_path, days) as port:
        address = f"https://127.0.0.1:{port}"
        installation = installation_of(address, address)
        hub = Config({"JupyterHub": {"subdomain_host": address}})
        results = [*check_settings_certificates(installation), *check_hub_certificate(hub, installation)]
    assert [(result.check, result.level) for result in results] == [("certificate", level)] * 3
    assert all(says in result.message and f"127.0.0.1:{port}" in result.message for result in results)
    if level != "ok":
        assert [result.where for result in results] == [
            "aizen.yaml: service.url",
            "aizen.yaml: hub.url",
            "jupyterhub_config.py: c.JupyterHub.subdomain_host",
        ]
        assert all(result.production for result in results)


def test_an_address_without_an_answer_is_not_checked() -> None:
    """The service may run where the public address leads nowhere."""
    (result,) = check_settings_certificates(installation_of("https://127.0.0.1:1"))
    assert (result.level, "not checked" in result.message) == ("ok", True)


def test_what_does_not_speak_tls_is_not_checked(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(1000)
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        thread = Thread(target=answer, daemon=True)
        thread.start()
        (result,) = check_settings_certificates(installation_of(f"https://127.0.0.1:{listener.getsockname()[1]}"))
        thread.join(10)
    assert (result.level, "not checked" in result.message) == ("ok", True)


@pytest.mark.parametrize("host", ["127.0.0.1:99999", "[::1"])
def test_what_is_no_address_has_none(host: str) -> None:
    """Other checks report it."""
    hub = Config({"JupyterHub": {"bind_url": f"https://{host}"}})
    assert list(check_hub_certificate(hub, installation_of("http://127.0.0.1:1"))) == []


def test_http_has_none() -> None:
    results: list[CheckResult] = list(check_settings_certificates(installation_of("http://127.0.0.1:1")))
    assert results == []
