"""Checks of an installation that need its settings and its store only: for `doctor`, and for the page *System*."""
