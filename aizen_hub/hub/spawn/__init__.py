"""Sessions of user servers: options form, opening and ending, heartbeat, revocation."""
