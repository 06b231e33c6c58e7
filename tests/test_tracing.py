"""Traces: one from the kernel over the service to the core, with the decision id and nothing of a person."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from aizen_hub.service.factory import build_context
from aizen_hub.service.server import Server
from aizen_hub.settings import ConfigurationError, TracingSettings
from aizen_hub.tracing import open_tracing
from tests.fixtures.databases.sqlite import create_database_file
from tests.fixtures.network.ports import free_port
from tests.fixtures.network.trace_collector import Collector, recording_relay, running_collector
from tests.fixtures.sample_core import running_core
from tests.fixtures.timing import until
from tests.service.conftest import INSTANCE, Driver, Session, populate, settings_for

needs_opentelemetry = pytest.mark.skipif(
    importlib.util.find_spec("opentelemetry") is None,
    reason="OpenTelemetry is not installed: requirements/test.txt has it",
)
SECRET_NAME = "churn"
KERNEL = """
import sys
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

provider = TracerProvider()
provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=sys.argv[1])))
trace.set_tracer_provider(provider)

from aizen_hub.notebook.client import NotebookClient

print([event["event"] for event in NotebookClient.from_environment().run(sys.argv[2])][-1])
provider.shutdown()
"""


@asynccontextmanager
async def traced_service(
    folder: Path, collector_url: str | None, *, port: int | None = None, core: dict[str, Any] | None = None
) -> AsyncIterator[Driver]:
    create_database_file(folder / "data")
    port = port or free_port()
    service: dict[str, Any] = {"port": port, "deadline_seconds": 20}
    if collector_url is not None:
        service["tracing"] = {"endpoint": collector_url}
    settings = settings_for(folder, service=service, **({} if core is None else {"core": core}))
    server = Server(build_context(settings, instance=INSTANCE, environ={}), "127.0.0.1", port)
    await server.start()
    driver = Driver(server)
    populate(driver.context)
    try:
        yield driver
    finally:
        driver.close()
        await server.stop()


def attributes(span: Any) -> dict[str, Any]:
    return {item.key: getattr(item.value, item.value.WhichOneof("value")) for item in span.attributes}


def written_texts(span: Any) -> list[str]:
    """Return all text in a span, without its ids."""
    values = [str(value) for value in attributes(span).values()]
    return [span.name, span.status.message, *attributes(span), *values, *(str(event) for event in span.events)]


async def run_kernel(driver: Driver, session: Session, collector: Collector, text: str) -> str:
    environ = {**os.environ, "AIZEN_URL": driver.url, "AIZEN_TOKEN": session.token}
    environ["JUPYTERHUB_API_TOKEN"] = session.hub_token
    arguments = [sys.executable, "-c", KERNEL, collector.url, text]
    done = await asyncio.to_thread(
        subprocess.run, arguments, env=environ, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@needs_opentelemetry
@pytest.mark.proves("R98")
async def test_one_trace_goes_from_the_kernel_to_the_core(tmp_path: Path) -> None:
    port = free_port()
    async with AsyncExitStack() as stack:
        core = stack.enter_context(running_core(tmp_path, f"http://127.0.0.1:{port}"))
        relay, sent = await stack.enter_async_context(recording_relay(urlsplit(core["url"]).port or 0))
        collector = await stack.enter_async_context(running_collector())
        core = {**core, "audience": core["url"], "url": f"http://127.0.0.1:{relay}"}
        driver = await stack.enter_async_context(traced_service(tmp_path, collector.url, port=port, core=core))
        eve = await driver.open("eve")
        assert await run_kernel(driver, eve, collector, f"start training {SECRET_NAME}") == "end"
        await until(lambda: collector.named("core POST") and collector.named("POST /api/v1/commands"), 60)
        (client,) = collector.named("aizen command")
        (request,) = collector.named("POST /api/v1/commands")
        (core_call,) = collector.named("core POST")
        (decision,) = [span for span in collector.named("decide") if span.parent_span_id == request.span_id]

        assert {span.trace_id for span in (client, request, decision, core_call)} == {client.trace_id}
        assert request.parent_span_id == client.span_id
        assert core_call.parent_span_id == request.span_id
        traceparent = re.search(rb"traceparent: 00-([0-9a-f]{32})-([0-9a-f]{16})-0[0-9a-f]", bytes(sent), re.IGNORECASE)
        assert traceparent is not None, "the core can continue the trace"
        assert (traceparent[1].decode(), traceparent[2].decode()) == (client.trace_id.hex(), core_call.span_id.hex())

        ids = {attributes(span)["aizen.decision.id"] for span in (client, request, decision, core_call)}
        assert len(ids) == 1
        assert attributes(decision)["aizen.decision.allowed"] is True
        assert attributes(request)["http.response.status_code"] == 200
        texts = [text for span in collector.spans for text in written_texts(span)]
        words = set(re.split(r"[^\w-]+", " ".join(texts)))
        assert {"decide", "POST"} <= words
        assert not words & {SECRET_NAME, "eve", "p1"}, "neither argument nor person nor project"
        assert not any(secret in text for secret in (eve.token, eve.hub_token, driver.hub_secret) for text in texts)


@needs_opentelemetry
async def test_a_collector_that_is_away_changes_no_answer(tmp_path: Path) -> None:
    async with traced_service(tmp_path, "http://127.0.0.1:1/v1/traces") as driver:
        eve = await driver.open("eve")
        for traceparent in ("", "nonsense", f"00-{'f' * 32}-{'0' * 16}-01", f"00-{'a' * 32}-{'b' * 16}-01"):
            body, headers = {"command": "list trainings"}, {"traceparent": traceparent}
            answer = await driver.call("POST", "/api/v1/decisions", body, auth=eve.auth, headers=headers)
            assert (answer.status, answer.json["decision"]["allowed"]) == (200, True)


async def test_without_the_setting_nothing_is_imported_or_made(tmp_path: Path) -> None:
    """In a process of its own: the tests of this one may have loaded OpenTelemetry."""
    assert open_tracing(None, "i", "v") is None
    code = (
        "import sys, aizen_hub.service.factory, aizen_hub.service.app, aizen_hub.notebook.client;"
        "print([name for name in sys.modules if name.startswith('opentelemetry')])"
    )
    command = [sys.executable, "-c", code]
    done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    async with traced_service(tmp_path, None) as driver:
        assert driver.context.tracing is None


def test_without_the_package_the_start_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'aizen-hub\[tracing\]'"):
        open_tracing(TracingSettings(endpoint="http://127.0.0.1:1/v1/traces"), "i", "v")
