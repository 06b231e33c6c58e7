"""Redirect from the hub's host to the service's pages: under ``subdomain_host``, or of the hub that has the panel."""

from __future__ import annotations

from jupyterhub.handlers import BaseHandler
from tornado import web


class PanelRedirectHandler(BaseHandler):
    """Answers at ``/hub/services/<name>/…``, where the hub sends requests for that path on its own host.

    Activation links, the way back from a re-authentication and the command line know the hub's address only.
    """

    def initialize(self, service: str, panel_url: str | None) -> None:
        self._service, self._panel_url = service, panel_url

    def get(self, page: str) -> None:
        query = f"?{self.request.query}" if self.request.query else ""
        self.redirect(f"{self._find_panel()}{page}{query}", status=307)

    def _find_panel(self) -> str:
        if self._panel_url is not None:
            return self._panel_url
        service = self.settings["services"].get(self._service)
        if service is None or not service.host:
            raise web.HTTPError(404)
        return f"{service.host}{service.prefix}"
