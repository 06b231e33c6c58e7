"""``aizen-hub demo``: try everything out on this machine, and check that it works."""

from __future__ import annotations

from aizen_hub.demo.command import demo

__all__ = ["demo"]
