"""Alerts to users and to the webhook, from an outbox that is written with the change and delivered later."""
