"""Names of HTTP headers that the service and its clients share."""

INSTANCE_HEADER = "X-Aizen-Instance"
"""The id that the hub gave to the service it started; every response of that service carries it."""

POD_TOKEN_HEADER = "X-Aizen-Pod-Token"  # noqa: S105 - a name
"""The token of the pod that a role token is sent from, where the service has ``pod_identity``."""
