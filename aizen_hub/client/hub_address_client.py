"""Client of the service for those who know the hub's address only, such as the command line."""

from __future__ import annotations

import http.client
from collections.abc import Mapping
from typing import Any
from urllib.parse import SplitResult, urljoin, urlsplit

from aizen_hub.api_models.headers import INSTANCE_HEADER
from aizen_hub.client.errors import InvalidResponse, Unreachable
from aizen_hub.client.sync_client import SyncClient

_MAX_REDIRECTS = 3


class HubAddressClient(SyncClient):
    """A client that finds the service behind the hub's address.

    With ``subdomain_host`` the service has a host of its own, below that of the hub. The hub then answers in its place,
    so that nothing was done, and redirects its pages there. The credential is sent to no other host.
    """

    def _send(
        self, method: str, path: str, body: Any, headers: Mapping[str, str] | None
    ) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
        try:
            return super()._send(method, path, body, headers)
        except InvalidResponse:
            address = self._find_service()
            if address is None:
                raise
            self._parts = address
            return super()._send(method, path, body, headers)

    def _find_service(self) -> SplitResult | None:
        """Return the address to which the hub redirects the service's pages, if it is below the hub's own."""
        page = self.url + "/"
        for _ in range(_MAX_REDIRECTS):
            probe = SyncClient(page, deadline=self._deadline)
            try:
                status, headers = probe.probe()
            except Unreachable:
                return None
            if INSTANCE_HEADER.lower() in headers:
                break
            page = urljoin(page, headers.get("location", ""))
            if status not in (301, 302, 307, 308) or not self._is_below(urlsplit(page)):
                return None
        else:
            # The last address was not asked whether it is the service.
            return None
        found = urlsplit(page.rstrip("/"))
        return found if found.path == self._parts.path.rstrip("/") and found.netloc != self._parts.netloc else None

    def _is_below(self, target: SplitResult) -> bool:
        own = self._parts
        return (target.scheme, target.port) == (own.scheme, own.port) and (
            target.hostname == own.hostname or (target.hostname or "").endswith(f".{own.hostname}")
        )
