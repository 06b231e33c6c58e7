"""Who may do what. Pure: values in, decision out; no I/O, no clock, no framework."""
