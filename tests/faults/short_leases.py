"""``python -m tests.faults.short_leases aizen.yaml``: the service with short leases, for quick tests."""

from __future__ import annotations

import sys

from aizen_hub.jobs import leases
from aizen_hub.jobs.core_client import ACCEPT_SECONDS
from aizen_hub.service.core import gateway


def main() -> int:
    from aizen_hub.service.server import run

    leases.LEASE_SECONDS, leases.START_SECONDS = 2.0, ACCEPT_SECONDS + 2
    gateway.POLL_SECONDS = 0.2
    return run(sys.argv[1])


if __name__ == "__main__":
    sys.exit(main())
