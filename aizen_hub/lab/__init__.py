"""Server extension of JupyterLab and Notebook 7: what the browser part shows about the session of this user server.

It imports the standard library, Tornado, Jupyter Server and `aizen_hub.notebook`, and no other package of aizen-hub.
Like the notebook side it enforces nothing: the service decides, with the checks of any kernel.
"""

from __future__ import annotations

from typing import Any


def _jupyter_server_extension_points() -> list[dict[str, str]]:
    return [{"module": __name__}]


def _load_jupyter_server_extension(server_app: Any) -> None:
    """Add the handlers, and leave out the page with a token, in servers that aizen-hub started."""
    from aizen_hub.lab.extension import add_handlers, omit_page_file

    omit_page_file(server_app)
    add_handlers(server_app)
