"""Every kind of operation that a service runs."""

from __future__ import annotations

from aizen_hub.operations import directory_reading, people_import
from aizen_hub.operations.kind import OperationKind
from aizen_hub.policy import apply as policy

KINDS: tuple[OperationKind, ...] = (*policy.KINDS, *people_import.KINDS, *directory_reading.KINDS)
