"""Names of HTTP headers that the service and its clients share."""

INSTANCE_HEADER = "X-Aizen-Instance"
"""The id that the hub gave to the service it started; every response of that service carries it."""
