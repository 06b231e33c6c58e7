"""The yardstick: how fast Tornado answers JSON with JSON on this machine, with nothing behind it."""

from __future__ import annotations

import asyncio
import json
import sys

from tornado.web import Application, RequestHandler

ANSWER = {
    "decision": {
        "id": "0" * 32,
        "allowed": True,
        "reason": "granted",
        "sentence": "the role PROJECT_EXECUTOR in `churn` gives execute:training",
        "revision": 1,
        "assignment": "1",
        "role": "PROJECT_EXECUTOR",
        "at": "2026-01-01T00:00:00Z",
    }
}


class Bare(RequestHandler):
    def get(self) -> None:
        self.finish()

    def post(self) -> None:
        json.loads(self.request.body)
        self.set_header("Content-Type", "application/json")
        self.finish(json.dumps(ANSWER))


async def main() -> None:
    # Without access logs, as the service runs.
    Application([("/.*", Bare)], log_function=lambda handler: None).listen(int(sys.argv[1]), "127.0.0.1")
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
