"""Handlers of the hub that concern starts of servers."""

from __future__ import annotations

from typing import Any

from aizen_hub.hub.spawn.access_request import access_request_handlers
from aizen_hub.hub.spawn.batch_port import BatchPortHandler
from aizen_hub.hub.spawn.progress_handler import progress_handlers
from aizen_hub.hub.spawn.project_search import project_search_handlers


def spawn_handlers() -> list[tuple[Any, ...]]:
    """Return the handlers, for `Authenticator.get_handlers`; that of batchspawner also where it is loaded later."""
    return [
        (r"/api/batchspawner", BatchPortHandler),
        *progress_handlers(),
        *access_request_handlers(),
        *project_search_handlers(),
    ]
