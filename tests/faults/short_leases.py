"""A service that takes up what another one left behind after seconds: what a test waits for, not what it proves."""

from __future__ import annotations

import sys

from aizen_hub.jobs import leases as watch
from aizen_hub.jobs.core_client import ACCEPT_SECONDS
from aizen_hub.service.core import gateway as core_road


def main() -> int:
    from aizen_hub.service.server import run

    watch.LEASE_SECONDS, watch.START_SECONDS = 2.0, ACCEPT_SECONDS + 2
    core_road.LOOK_SECONDS = 0.2
    return run(sys.argv[1])


if __name__ == "__main__":
    sys.exit(main())
