"""Typed HTTP clients of the service, for the hub side and the command line."""
