"""OAuth endpoints: token exchange, introspection, revocation and discovery."""
