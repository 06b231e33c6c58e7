"""Wire types that the service, the hub side and the command line share."""
