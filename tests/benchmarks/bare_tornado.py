"""The yardstick: how fast Tornado answers JSON with JSON on this machine, with nothing behind it.

A plain `RequestHandler` as Tornado's own manual writes it, on the same server, the same number of kept connections and
the same requests as the service: a credential of the length of ours, which it does not look at, and a body that it
reads as JSON. Its answer is about as long as ours, made anew each time. What Tornado does by itself stays on (its
headers, its ETag); what can be left out is left out (access logs). So it is neither slowed down nor cut to the bone: a
bare `HTTPMessageDelegate` that parses and writes the same JSON would be about 1.5 times as fast.
"""

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
