"""A hub's API as a double: that a real hub revokes is tested in `tests/hub/spawn`."""

from __future__ import annotations

import asyncio
from typing import cast

from aizen_hub.problems import Unavailable
from aizen_hub.service.auth.hub_api import HubApiClient
from aizen_hub.service.auth.hub_connection import HubConnection


class FakeHubApi:
    """A hub that answers or does not; records the requests that it answered."""

    is_configured = True

    def __init__(self, secret: str = "secret") -> None:
        self.answers, self.secret = True, secret
        self.hangs = asyncio.Event()
        self.hangs.set()
        self.requests: list[tuple[str, int | None]] = []

    async def revoke_user(self, name: str, secret: str, *, sign_out: int | None = None) -> dict[str, int]:
        await self.hangs.wait()
        if not self.answers or secret != self.secret:
            raise Unavailable("the hub does not answer")
        self.requests.append((name, sign_out))
        return {"tokens": 1, "servers": 2}

    def connection(self, id: str) -> HubConnection:
        return HubConnection(id, self.secret, cast(HubApiClient, self))
