"""``python -m aizen_hub.hub.python_proxy``: the hub's proxy in Python, with routing by host (``subdomain_host``).

The Python package ``configurable-http-proxy`` 0.4 keeps routes of hosts, but compares requests without their host, and
wants a value for ``--host-routing``, which JupyterHub adds without one. The proxy in Node does both. The package also
logs failed requests with their query, which is the authorization code where a sign-in was rejected.
"""

from __future__ import annotations

import importlib.util
import logging
import re
import shutil
import sys
from pathlib import Path
from typing import Any

SCRIPT = "configurable-http-proxy"
TORNADO_LOGGERS = ("tornado.access", "tornado.application", "tornado.general")
_QUERY = re.compile(r"\?[^\s'\"]+")


def is_used_by(command: object) -> bool:
    """Return whether a command of the hub's proxy runs the Python package of this environment; None is the default."""
    if importlib.util.find_spec("configurable_http_proxy") is None:
        return False
    program = SCRIPT if command is None else command[0] if isinstance(command, list) and command else ""
    if Path(program).name != SCRIPT:
        return False
    path = shutil.which(str(program))
    # Outside an activated environment the default is not in the search path.
    return Path(path).parent.absolute() == Path(sys.executable).parent.absolute() if path else command is None


class HostRoutes:
    """The proxy for one request: it finds the target by the host of that request."""

    def __init__(self, proxy: Any, host: str) -> None:
        self._proxy, self._host = proxy, host

    def __getattr__(self, name: str) -> Any:
        return getattr(self._proxy, name)

    def target_for_req(self, _host: str | None, path: str) -> Any:
        return self._proxy.target_for_req(self._host, "/" + path.removeprefix("/"))


class QueryFilter(logging.Filter):
    """Removes the queries of URLs from log records: they carry authorization codes, states and tokens (R98)."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = _QUERY.sub("?[query]", record.getMessage()), ()
        return True


def _remove_queries_from_logs() -> None:
    for name in TORNADO_LOGGERS:
        logging.getLogger(name).addFilter(QueryFilter())


def _route_by_host() -> None:
    from configurable_http_proxy.configproxy import ProxyHandler

    initialize = ProxyHandler.initialize

    def initialize_with_host(handler: Any, proxy: Any) -> None:
        initialize(handler, HostRoutes(proxy, handler.request.host_name) if proxy.host_routing else proxy)

    ProxyHandler.initialize = initialize_with_host


def main() -> None:
    """Run the proxy with the arguments of this process."""
    from configurable_http_proxy.cli import main as run_proxy

    _remove_queries_from_logs()
    _route_by_host()
    arguments = [f"{argument}=1" if argument == "--host-routing" else argument for argument in sys.argv[1:]]
    run_proxy(args=arguments, prog_name=SCRIPT)


if __name__ == "__main__":
    main()
