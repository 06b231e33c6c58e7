"""The page that the proxy shows where the service, and with it the panel, does not answer."""

from __future__ import annotations

from urllib.parse import urlsplit

from jupyterhub.handlers.pages import ProxyErrorHandler
from jupyterhub.utils import url_path_join

_NOT_ANSWERING = frozenset({"502", "503", "504"})


class PanelOutageHandler(ProxyErrorHandler):
    """Answers at ``/hub/error/<status>``, from where the proxy takes its error pages.

    For an address of the panel the hub's own page would say that the user's server is down.
    """

    def initialize(self, service: str) -> None:
        self._service = service

    async def get(self, status: str) -> None:
        path = urlsplit(self.get_query_argument("url", "")).path
        prefix = url_path_join(self.base_url, "services", self._service) + "/"
        if status not in _NOT_ANSWERING or not f"{path}/".startswith(prefix):
            await super().get(status)
            return
        self.set_header("Content-Type", "text/html")
        # A program below `/api/` reads the status; the page is for people.
        self.write(await self.render_template("panel_outage.html", page_path=path))
