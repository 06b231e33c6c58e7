"""One typed HTTP client of the service: used by the hub side and the command line."""
