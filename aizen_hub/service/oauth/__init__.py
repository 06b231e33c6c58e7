"""The OAuth side of the service: exchange, introspection, revocation, and how to find them."""
