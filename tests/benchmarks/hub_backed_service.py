"""A service that asks the hub for the user of the token at every request, and decides nothing."""

from __future__ import annotations

import asyncio
import json
import sys

from jupyterhub.services.auth import HubAuth
from tornado.web import Application, HTTPError, RequestHandler

from tests.benchmarks.bare_tornado import ANSWER


class HubBackedHandler(RequestHandler):
    def initialize(self, auth: HubAuth) -> None:
        self.auth = auth

    def get(self) -> None:
        self.finish()

    async def post(self) -> None:
        json.loads(self.request.body)
        token = self.request.headers["Authorization"].partition(" ")[2]
        # Without the cache: a cached answer would let a revoked token work for five more minutes.
        user = await self.auth.user_for_token(token, use_cache=False, sync=False)
        if user is None:
            raise HTTPError(403)
        self.set_header("Content-Type", "application/json")
        self.finish(json.dumps(ANSWER))


async def main() -> None:
    auth = HubAuth(api_url=sys.argv[2], api_token="none")
    Application([("/.*", HubBackedHandler, {"auth": auth})], log_function=lambda handler: None).listen(
        int(sys.argv[1]), "127.0.0.1"
    )
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
