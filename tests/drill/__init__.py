"""``make drill``: what an operator rehearses, with real servers under load; prints each step and its seconds."""
