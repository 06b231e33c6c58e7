"""The gauges of the service and what each means."""

from __future__ import annotations

from collections.abc import Mapping

GAUGE_TEXTS: Mapping[str, str] = {
    "clock_offset_seconds": "This clock against the store's, or its jumps since the start.",
    "clock_synchronised": "1 where the kernel says that NTP keeps the clock.",
    "clock_ntp_offset_seconds": "This clock against NTP, by the kernel.",
    "sealed": "1 while a key, the audit's checkpoint file or a part of the database is missing and nothing is decided.",
    "checkpoint_age_seconds": "Time since the heads of the audit were last signed, or were found unchanged.",
    "decisions_pending": "Decision requests that wait for the decision service.",
    "db_tasks_pending": "Database operations that run or wait.",
    "revision": "The store's revision.",
    "sessions_live": "Sessions that have not ended.",
    "jobs_running": "Jobs that count against limits.",
    "requests_pending": "Access requests that are not decided yet.",
    "revision_lag": "Revisions of the store that no decision of this process has seen yet.",
}
