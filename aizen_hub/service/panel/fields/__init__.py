"""What is typed into fields of forms, as values: the end of a grant, names, identities and limits."""
