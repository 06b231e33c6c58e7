"""Who is this? Providers prove it, the authenticator asks the service who may come in."""
