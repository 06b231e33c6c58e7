"""State changes, one function each, called by commands, API, panel and policy files, so that one set of rules holds."""
