"""Alerts: who is told what, from an outbox that is written with the change and delivered later."""
