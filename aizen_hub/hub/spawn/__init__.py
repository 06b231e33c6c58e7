"""One server, one session: the picker, opening and ending, the heartbeat, revocation."""
