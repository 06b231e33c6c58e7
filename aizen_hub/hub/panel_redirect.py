"""Redirect from the hub's host to the service's pages, which have a host of their own under ``subdomain_host``."""

from __future__ import annotations

from jupyterhub.handlers import BaseHandler
from tornado import web


class PanelRedirectHandler(BaseHandler):
    """Answers at ``/hub/services/<name>/…``, where the hub sends requests for that path on its own host.

    Activation links, the way back from a re-authentication and the command line know the hub's address only.
    """

    def initialize(self, service: str) -> None:
        self._service = service

    def get(self, page: str) -> None:
        service = self.settings["services"].get(self._service)
        if service is None or not service.host:
            raise web.HTTPError(404)
        query = f"?{self.request.query}" if self.request.query else ""
        self.redirect(f"{service.host}{service.prefix}{page}{query}", status=307)
