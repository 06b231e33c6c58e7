"""The clients that hub, kernels and command line use, at the load balancer of an installation."""

from __future__ import annotations

import asyncio
from typing import Any

from aizen_hub.cli.change_sender import ChangeSender
from aizen_hub.cli.output import Output
from aizen_hub.client.service_client import ServiceClient
from aizen_hub.client.sync_client import SyncClient
from aizen_hub.notebook.client import NotebookClient
from tests.faults.installation import ADMIN, EXECUTOR, Installation
from tests.faults.recording_client import Client

CREDENTIAL = "{:064x}"
DEADLINE_SECONDS = 60.0


class RealClients:
    """All three in one project; an admin of it sits at the kernel."""

    def __init__(self, installation: Installation, project: str, admin: str) -> None:
        self._url, self._project = f"http://127.0.0.1:{installation.front}", project
        self._secret = installation.hub_secret
        sender = SyncClient(self._url, f"Bearer {installation.admin_credential}", deadline=DEADLINE_SECONDS)
        self._sender = ChangeSender(sender, Output(), dry_run=False)
        hub_token, session = Client(installation, "setup", None).open_with_credential(admin, project, "kernel")
        assert session is not None
        variables = {"AIZEN_URL": self._url, "AIZEN_TOKEN": session.token, "JUPYTERHUB_API_TOKEN": hub_token}
        self._kernel = NotebookClient.from_environment(variables)

    def change_by_command_line(self, user: str, *, revoke: bool = False) -> bool:
        """Grant or revoke `EXECUTOR`; return whether the answer says that this was done."""
        body = {"roles": [EXECUTOR], "scope": self._project, "identity": f"user:{user}", "reason": "test"}
        path = "/api/v1/assignments" + ("/revoke" if revoke else "")
        return _is_done(self._sender.send("POST", path, body, show=False))

    def change_by_kernel(self, user: str, *, revoke: bool = False) -> bool:
        """Do the same with `ADMIN`, by a line of text."""
        line = f"revoke role {ADMIN} from {user}" if revoke else f"grant role {ADMIN} to {user}"
        *_, end = self._kernel.run(line)
        return end["event"] == "end" and end["state"] == "done" and _is_done(end["result"])

    def open_session_as_hub(self, user: str, server: str, number: int) -> str:
        """Open the session of a server, and return its id."""

        async def open_session() -> str:
            client = ServiceClient(self._url, self._secret, deadline=DEADLINE_SECONDS)
            try:
                opened = await client.open_session(user, user, server, self._project, CREDENTIAL.format(number))
            finally:
                client.close()
            return opened.session

        return asyncio.run(open_session())


def _is_done(result: dict[str, Any]) -> bool:
    data = result["data"]
    return bool(data.get("granted") or data.get("revoked"))
