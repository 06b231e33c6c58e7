"""``aizen-hub``: the command line of operators and of everybody who prefers one to a browser."""

from __future__ import annotations

import importlib
import sys

import click

from aizen_hub import __version__
from aizen_hub.cli.examples import teach
from aizen_hub.cli.exit_codes import Outcome, report
from aizen_hub.problems import Problem
from aizen_hub.settings import ConfigurationError

COMMANDS = {
    "serve": ("aizen_hub.cli.commands.serve", "run the service"),
    "init": ("aizen_hub.cli.commands.init", "write a commented aizen.yaml"),
    "db": ("aizen_hub.cli.commands.database", "create, upgrade and check the database"),
    "doctor": ("aizen_hub.cli.doctor", "look at this installation and say what is missing or risky"),
    "recover-admin": ("aizen_hub.cli.commands.recover_admin", "a way back in when no admin can sign in"),
    "keys": ("aizen_hub.cli.commands.keys", "list, rotate and withdraw signing keys"),
    "user": ("aizen_hub.cli.commands.user", "register, list and delete people"),
    "group": ("aizen_hub.cli.commands.group", "groups of the store and their members"),
    "service-account": ("aizen_hub.cli.commands.service_account", "identities of programs, and their credentials"),
    "mapping": ("aizen_hub.cli.commands.mapping_rule", "which groups of a directory give which roles"),
    "project": ("aizen_hub.cli.commands.project", "create, list, show and delete projects"),
    "role": ("aizen_hub.cli.commands.role", "built-in and custom roles, and who holds them"),
    "grant": ("aizen_hub.cli.commands.grant", "give roles to a person or group"),
    "revoke": ("aizen_hub.cli.commands.grant", "take roles away"),
    "limit": ("aizen_hub.cli.commands.limit", "limits on projects, jobs, memory and processors"),
    "request": ("aizen_hub.cli.commands.access_request", "ask for a role, and decide what others ask for"),
    "lock": ("aizen_hub.cli.commands.lock", "stop a person, a project or a session now"),
    "session": ("aizen_hub.cli.commands.session", "which servers run, for which project; end one"),
    "tokens": ("aizen_hub.cli.commands.tokens", "end the role tokens issued so far"),
    "can-i": ("aizen_hub.cli.commands.access_queries", "ask whether a command is allowed, and why"),
    "who-can": ("aizen_hub.cli.commands.access_queries", "list who may do something, and by which role"),
    "what-if": ("aizen_hub.cli.commands.access_queries", "ask what a role, a group or another day would change"),
    "whoami": ("aizen_hub.cli.commands.access_queries", "who you are here and which roles you hold"),
    "audit": ("aizen_hub.cli.commands.audit", "read the audit, and check that nobody touched it"),
    "policy": ("aizen_hub.cli.commands.policy", "export, plan, apply and test the access policy as a file"),
    "demo": ("aizen_hub.demo", "a running hub with five ready accounts, on this machine"),
    "completion": ("aizen_hub.cli.commands.completion", "print the completion script of your shell"),
}
"""Each command with the module that holds it, read only when it is called, and its line in the list."""


class LazyGroup(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(COMMANDS[cmd_name][0])
        command: click.Command = getattr(module, cmd_name.replace("-", "_"))
        teach(command, cmd_name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            near = nearest(args[0])
            if near is None:
                raise
            raise click.UsageError(f"{error.format_message().rstrip('.')}. Did you mean `{near}`?", ctx) from None


def nearest(word: str) -> str | None:
    from difflib import get_close_matches

    found = get_close_matches(word, COMMANDS, n=1)
    return found[0] if found else None


@click.command(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="aizen-hub")
def cli() -> None:
    """Roles per project for JupyterHub, and a decision for every command.

    Every command explains itself with --help and an example. Those that ask a running service find it through
    AIZEN_HUB_URL (the address you open in the browser) and sign in with the hub token in AIZEN_HUB_TOKEN or
    --token-file; make one at <hub>/hub/token.

    Exit codes: 0 done or allowed, 1 error, 2 wrong use, 3 denied, 4 not signed in, 5 not found, 6 conflict with the
    present state, 7 service unavailable.
    """


def main() -> None:
    """Run the command line; a problem becomes a sentence on stderr and an exit code."""
    try:
        status = cli.main(prog_name="aizen-hub", standalone_mode=False)
    except Problem as problem:
        status = report(problem)
    except ConfigurationError as error:
        print(f"aizen-hub: {error}", file=sys.stderr)
        status = Outcome.ERROR
    except click.ClickException as error:
        error.show()
        status = error.exit_code
    except (click.Abort, KeyboardInterrupt):
        print("aizen-hub: stopped", file=sys.stderr)
        status = 130
    except BrokenPipeError:  # `| head` has seen enough
        sys.stderr.close()
        status = Outcome.DONE
    sys.exit(status if isinstance(status, int) else Outcome.DONE)
