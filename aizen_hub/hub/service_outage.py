"""What users of the hub are told while the service decides nothing."""

from __future__ import annotations

from aizen_hub.problems import Unavailable


def describe_outage(error: Unavailable) -> str:
    """Return why the service did not answer a request of the hub, as a clause for pages."""
    if error.extensions.get("sealed"):
        return "the access service is sealed and decides nothing until an administrator of this hub has repaired it"
    if error.extensions.get("starting"):
        return "the access service is starting; try again in a moment"
    return "the access service does not respond; try again in a minute"
