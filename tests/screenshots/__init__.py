"""``make screenshots``: the pictures of the panel in `docs/images/`, of an invented installation."""
