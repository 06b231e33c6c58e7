"""One example of each command, for its help; the tests parse them all."""

from __future__ import annotations

import click

EXAMPLES = {
    "serve": "-c aizen.yaml",
    "init": "/srv/hub",
    "db upgrade": "-c aizen.yaml",
    "db check": "-c aizen.yaml",
    "doctor": "-c aizen.yaml -o json",
    "recover-admin": "ada -c aizen.yaml",
    "keys list": "-c aizen.yaml",
    "keys rotate": "-c aizen.yaml",
    "user create": "alice --email alice@example.org",
    "user list": "-o json",
    "user alter": "alice --email alice@example.org --alerts",
    "user delete": "alice bob",
    "user stop": 'alice --reason "lost the laptop" --until 2027-01-08',
    "user activation-link": "alice",
    "user release": "alice",
    "user login list": "alice",
    "user login link": "alice azure 6f1c0a9e-3d51-4c0b-9f57-2a7f2b1f9a10",
    "user login unlink": "alice 3",
    "group list": "-o json",
    "group create": 'ops --description "on call"',
    "group delete": "ops",
    "group members": "ops",
    "group add": "ops alice",
    "group remove": "ops group:night-shift",
    "group alter": "ops --default",
    "service-account list": "-o json",
    "service-account create": 'nightly --description "retrains every night"',
    "service-account delete": "nightly",
    "service-account switch": "nightly off",
    "service-account issue": "nightly --days 30",
    "service-account credentials": "nightly",
    "service-account withdraw": "nightly 4",
    "mapping list": "-o json",
    "mapping put": "ldap 'aizen-{project}-executors' PROJECT_EXECUTOR --dry-run",
    "mapping remove": "7 --dry-run",
    "project list": "-o json",
    "project create": "churn --members project_users_config.json",
    "project show": "churn",
    "project export": "churn",
    "project alter": "churn project_users_config.json --dry-run",
    "project delete": "churn",
    "role list": "-o json",
    "role create": "AUDITOR -p read:audit --scope system",
    "role alter": "AUDITOR -p read:audit -p read:access --dry-run",
    "role clone": "PROJECT_READER MY_READER",
    "role delete": "AUDITOR",
    "role holders": "--project churn",
    "grant": "PROJECT_EXECUTOR --to alice --project churn --until 2027-01-01",
    "revoke": "PROJECT_EXECUTOR --from alice --project churn",
    "limit show": "alice --project churn",
    "limit set": "alice jobs 2 --project churn",
    "limit clear": "alice jobs --project churn",
    "request list": "--to-decide",
    "request ask": 'PROJECT_EXECUTOR --project churn --reason "to retrain the model"',
    "request approve": "0f5a --until 2027-01-01",
    "request deny": '0f5a --comment "ask the lead of fraud"',
    "request withdraw": "0f5a",
    "lock add": 'identity alice --reason "left the team"',
    "lock remove": "identity alice",
    "lock list": "-o json",
    "session list": "--user alice",
    "session end": "3b0c9a",
    "can-i": '"start training churn" --project churn --why',
    "who-can": "delete:training --project churn",
    "what-if": "alice start:training --project churn --role PROJECT_EXECUTOR --at 2027-01-01",
    "whoami": "-o json",
    "policy export": "> access.yaml",
    "policy plan": "access.yaml --prune",
    "policy apply": "access.yaml",
    "policy schema": "> access.schema.json",
    "policy test": "access.yaml --json",
    "demo": "--port 8100",
    "completion": "bash",
}


def teach(command: click.Command, words: str) -> None:
    """Put its example below the help of a command, and of every command in it."""
    if isinstance(command, click.Group):
        for name, inner in command.commands.items():
            teach(inner, f"{words} {name}")
    elif words in EXAMPLES:
        # The mark keeps click from folding the line.
        command.epilog = f"\b\nExample: aizen-hub {words} {EXAMPLES[words]}"
