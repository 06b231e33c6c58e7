"""A small core with which aizen-hub can be tried; see README.md."""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sys
from pathlib import Path

from executor import CommandExecutor
from handlers import ROUTES, HandlerContext
from job_runner import JobRunner
from reporter import Reporter
from storage import Storage
from tornado.httpclient import AsyncHTTPClient
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application
from verifier import DecisionTokenVerifier

MAX_BODY = 2 << 20
CLOSE_SECONDS = 10.0


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, default=9096, help="port to listen on, 0 for any free one")
    parser.add_argument("--issuer", required=True, help="root address of the aizen-hub service")
    parser.add_argument("--audience", help="this core's name in decision tokens (default: its own address)")
    parser.add_argument("--data", type=Path, required=True, help="folder for configurations, jobs and results")
    parser.add_argument(
        "--credential-file", type=Path, help="credential to report ends with; without it none are reported"
    )
    return parser.parse_args()


async def serve(options: argparse.Namespace) -> None:
    options.data.mkdir(parents=True, exist_ok=True)
    sockets = bind_sockets(options.port, options.host)
    address = f"http://{options.host}:{sockets[0].getsockname()[1]}"
    storage = Storage(options.data / "core.sqlite")
    reporter = Reporter(storage, options.issuer, options.credential_file)
    runner = JobRunner(storage, options.data / "results", reporter.wake)
    for job in storage.unfinished_jobs():
        # Their processes ended with the core that started them.
        storage.end_job(job["id"], "failed", "the core was stopped while it ran", None)
        end = {"event": "end", "state": "failed", "result": None, "message": "the core was stopped while it ran"}
        storage.end_command(job["id"], end)
    AsyncHTTPClient.configure(None, max_body_size=65_536)
    context = HandlerContext(
        DecisionTokenVerifier(options.issuer, options.audience or address),
        storage,
        runner,
        CommandExecutor(storage, runner),
    )
    server = HTTPServer(
        Application([(path, handler, {"context": context}) for path, handler in ROUTES]),
        max_body_size=MAX_BODY,
        max_header_size=16_384,
        idle_connection_timeout=60,
    )
    server.add_sockets(sockets)
    stop = asyncio.Event()
    for name in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(name, stop.set)
    reporting = asyncio.create_task(reporter.run())
    print(json.dumps({"address": address}), flush=True)
    await stop.wait()
    server.stop()
    try:
        await asyncio.wait_for(runner.close(), CLOSE_SECONDS)
    except TimeoutError:
        print("some jobs did not stop in time; they end with this process", file=sys.stderr)
    reporting.cancel()
    await asyncio.gather(reporting, return_exceptions=True)
    await server.close_all_connections()
    storage.close()


if __name__ == "__main__":
    try:
        asyncio.run(serve(arguments()))
    except OSError as error:
        sys.exit(f"the core cannot start: {error}")
