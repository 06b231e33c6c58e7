"""The spawn page with the projects that are found, for browsers without JavaScript.

The hub's own page takes every argument of its address for an option, and starts a server, so the search has an address
of its own. What is chosen there is sent to the hub's page as from that page.
"""

from __future__ import annotations

from typing import Any

from jupyterhub.handlers import BaseHandler
from jupyterhub.utils import url_escape_path, url_path_join
from tornado import web
from tornado.httputil import url_concat

from aizen_hub.hub.spawn.options_form import options_form

SEARCH_PATH = "aizen/projects"
"""Below the hub's address."""
_MAX_TEXT = 100


class ProjectSearchHandler(BaseHandler):
    """``GET /hub/aizen/projects?q=``: nothing is started; ``server`` is the name of the server to be started."""

    @web.authenticated
    async def get(self) -> None:
        user, server = self.current_user, self.get_query_argument("server", "")
        page = url_path_join(self.hub.base_url, "spawn", url_escape_path(user.name), url_escape_path(server))
        # The spawn page made the server's entry, and shows what happens where it runs already.
        if server not in user.orm_spawners or user.get_spawner(server).active:
            self.redirect(page)
            return
        spawner = user.get_spawner(server, replace_failed=True)
        auth_state = await user.get_auth_state()
        await spawner.run_auth_state_hook(auth_state)
        spawner.handler = self  # as the spawn page does: the form takes `next` from this request
        form = await options_form(spawner, search=self.get_query_argument("q", "")[:_MAX_TEXT])
        arguments = {"_xsrf": self.xsrf_token.decode("ascii")}
        if next_url := self.get_query_argument("next", ""):
            arguments["next"] = next_url
        self.finish(
            await self.render_template(
                "spawn.html",
                for_user=user,
                auth_state=auth_state,
                spawner_options_form=form,
                error_message=None,
                html_error_message=None,
                url=url_concat(page, arguments),
                spawner=spawner,
            )
        )


def project_search_handlers() -> list[tuple[Any, ...]]:
    """Return the handler of the search."""
    return [(f"/{SEARCH_PATH}", ProjectSearchHandler)]
