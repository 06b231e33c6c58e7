"""Every kind of operation that a service runs."""

from __future__ import annotations

from aizen_hub.operations import people_import
from aizen_hub.operations.kind import OperationKind
from aizen_hub.policy import apply as policy

KINDS: tuple[OperationKind, ...] = (*policy.KINDS, *people_import.KINDS)
