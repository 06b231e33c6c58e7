"""Handlers of the hub that concern starts of servers, and what users have at the hub."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from aizen_hub.hub.spawn.access_request import access_request_handlers
from aizen_hub.hub.spawn.batch_port import BatchPortHandler
from aizen_hub.hub.spawn.progress_handler import progress_handlers
from aizen_hub.hub.spawn.project_search import project_search_handlers
from aizen_hub.hub.spawn.revocation_handler import RevocationHandler, SignOuts
from aizen_hub.hub.spawn.server_monitor import ServerMonitor
from aizen_hub.hub.spawn.user_tokens import UserTokensHandler


def token_handlers(app: Any, secret_path: Path, monitor: ServerMonitor, sign_outs: SignOuts) -> list[tuple[Any, ...]]:
    """Return the handlers by which the service lists and ends what users have at the hub."""
    options = {"app": app, "secret_path": secret_path}
    return [
        (r"/api/aizen/revoke", RevocationHandler, {**options, "monitor": monitor, "sign_outs": sign_outs}),
        (r"/api/aizen/tokens", UserTokensHandler, options),
    ]


def spawn_handlers() -> list[tuple[Any, ...]]:
    """Return the handlers, for `Authenticator.get_handlers`; that of batchspawner also where it is loaded later."""
    return [
        (r"/api/batchspawner", BatchPortHandler),
        *progress_handlers(),
        *access_request_handlers(),
        *project_search_handlers(),
    ]
