from __future__ import annotations

from aizen_hub.lab.call_quota import CallQuota


def test_a_burst_and_then_what_becomes_available() -> None:
    now = 0.0
    quota = CallQuota(burst=2, per_second=1.0, clock=lambda: now)
    assert [quota.take() for _ in range(3)] == [True, True, False]
    now = 0.9
    assert not quota.take()
    now = 1.1
    assert [quota.take(), quota.take()] == [True, False]
    now = 1000.0
    assert [quota.take() for _ in range(3)] == [True, True, False], "no more than the burst"
