"""Schema of a policy file sent to the service as JSON."""

from __future__ import annotations

from typing import Any

from aizen_hub.api_models.schema import Schema


class PolicyDocument(Schema):
    """The data of the file; checked against the schema of `aizen_hub.policy.format`."""

    policy: dict[str, Any]
    prune: bool = False  # also delete local groups and custom roles that the file does not list
