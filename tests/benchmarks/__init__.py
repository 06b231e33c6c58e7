"""Measured times beside their targets: ``make bench``."""
