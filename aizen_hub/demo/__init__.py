"""``aizen-hub demo``: a demonstration hub on this machine, and an automatic check of it."""

from __future__ import annotations

from aizen_hub.demo.command import demo

__all__ = ["demo"]
