"""A policy file on its way to the service, as JSON."""

from __future__ import annotations

from typing import Any

from aizen_hub.service.http.schema import Schema


class PolicyDocument(Schema):
    """The data of the file; checked against the schema of `aizen_hub.policy.format`."""

    policy: dict[str, Any]
    prune: bool = False  # also delete the local groups and custom roles that it leaves out
