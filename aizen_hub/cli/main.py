"""``aizen-hub``: the command line for operators, administrators and users."""

from __future__ import annotations

import importlib
import os
import sys

import click

from aizen_hub import __version__
from aizen_hub.cli import bash_completion
from aizen_hub.cli.contexts import ContextError
from aizen_hub.cli.examples import add_examples
from aizen_hub.cli.exit_codes import ExitCode, report_problem
from aizen_hub.cli.hints import find_hint, find_option_hint
from aizen_hub.cli.name_completion import add_name_completion
from aizen_hub.problems import Problem
from aizen_hub.settings import ConfigurationError

COMMANDS = {
    "login": (".commands.account.sign_in", "sign in to a hub, in your browser"),
    "logout": (".commands.account.sign_in", "sign out, here and at the hub"),
    "context": (".commands.account.context", "the hubs you signed in to, and the current one"),
    "serve": (".commands.machine.serve", "run the service"),
    "init": (".commands.machine.init", "write a commented aizen.yaml"),
    "db": (".commands.machine.database", "create, upgrade and check the database"),
    "doctor": (".doctor", "check this installation for errors and risks"),
    "recover-admin": (
        ".commands.machine.recover_admin",
        "give an account admin rights when no admin can sign in",
    ),
    "reset-password": (
        ".commands.machine.recover_admin",
        "print a link to set a new password for an account",
    ),
    "keys": (".commands.machine.keys", "list, rotate and withdraw signing keys"),
    "user": (".commands.identities.user", "register, list, stop and delete users"),
    "group": (".commands.identities.group", "groups and their members"),
    "service-account": (
        ".commands.identities.service_account",
        "accounts of programs, and their credentials",
    ),
    "mapping": (
        ".commands.identities.mapping_rule",
        "roles granted by groups of a directory or identity provider",
    ),
    "project": (".commands.project", "create, list, show and delete projects"),
    "role": (".commands.roles.role", "built-in and custom roles, and their assignments"),
    "permission": (
        ".commands.roles.permission",
        "built-in and custom permissions, of which roles are made",
    ),
    "grant": (".commands.roles.grant", "grant roles to a user, group or service account"),
    "revoke": (".commands.roles.grant", "revoke roles"),
    "limit": (".commands.roles.limit", "limits on projects, jobs, memory and CPU"),
    "request": (".commands.decisions.access_request", "request a role, and decide requests of others"),
    "review": (".commands.decisions.review", "review who has access, and find unused roles and accounts"),
    "pending": (".commands.decisions.pending", "changes that wait for a confirmation"),
    "lock": (".commands.lock", "block a user, a project or a session now"),
    "session": (".commands.session", "list and end active sessions"),
    "tokens": (".commands.tokens", "revoke role tokens"),
    "can-i": (".commands.access_queries", "check whether a command is allowed, and why"),
    "who-can": (".commands.access_queries", "list who may do something, and through which role"),
    "what-if": (".commands.access_queries", "check what a role, a group or another date would change"),
    "explain": (".commands.explain", "what a role, a command, an error or an exit code means"),
    "whoami": (".commands.access_queries", "show your user name and roles"),
    "audit": (".commands.audit", "search, export and verify the audit log"),
    "policy": (".commands.policy", "export, plan, apply and test the access policy as a file"),
    "demo": ("aizen_hub.demo", "run a demonstration hub with five accounts on this machine"),
    "completion": (".commands.completion", "print the completion script of your shell"),
}
"""Each command with its module, imported only when the command is called, and its line in ``--help``."""


class LazyGroup(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(COMMANDS[cmd_name][0], __package__)
        command: click.Command = getattr(module, cmd_name.replace("-", "_"))
        add_examples(command, cmd_name)
        add_name_completion(command, cmd_name)
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
            near = closest_command(args[0])
            if near is None:
                raise
            raise click.UsageError(f"{error.format_message().rstrip('.')}. Did you mean `{near}`?", ctx) from None


COMPLETION_VARIABLE = "_AIZEN_HUB_COMPLETE"
"""Set by the scripts of `aizen-hub completion`, when the shell asks."""


def closest_command(word: str) -> str | None:
    from difflib import get_close_matches

    matches = get_close_matches(word, COMMANDS, n=1)
    return matches[0] if matches else None


@click.command(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="aizen-hub")
def cli() -> None:
    """Roles per project for JupyterHub, and a decision for every command.

    Each command has --help with an example. `aizen-hub login https://…` signs in to a hub, at the address you open in
    the browser. Programs set AIZEN_HUB_URL and AIZEN_HUB_TOKEN (or --token-file) instead; they get a token at
    <hub>/hub/token.

    Exit codes: 0 done or allowed, 1 error, 2 wrong usage, 3 denied, 4 not signed in, 5 not found, 6 conflict with the
    current state, 7 service unavailable.
    """


def hint_for(arguments: list[str]) -> str | None:
    """Return how one says here what was typed, where it names no command of ours."""
    ctx = click.Context(cli)
    group = cli.get_command(ctx, arguments[0]) if arguments else None
    if isinstance(group, click.Group):
        if len(arguments) < 2 or arguments[1].startswith("-") or arguments[1] in group.commands:
            return None
    elif group is not None or not arguments:
        return None
    groups = {name: cli.get_command(ctx, name) for name in COMMANDS}
    return find_hint(
        arguments, {name: inner.commands for name, inner in groups.items() if isinstance(inner, click.Group)}
    )


def _hint_of(error: click.UsageError) -> str | None:
    if isinstance(error, click.NoSuchOption) and error.ctx is not None:
        hint = find_option_hint(error.option_name, error.ctx.command_path.partition(" ")[2])
        if hint is not None:
            return hint
    return hint_for(sys.argv[1:])


def main() -> None:
    """Run the command line; errors become one sentence on stderr and an exit code."""
    if COMPLETION_VARIABLE in os.environ:
        bash_completion.register()
    try:
        status = cli.main(prog_name="aizen-hub", standalone_mode=False)
    except Problem as problem:
        status = report_problem(problem)
    except (ConfigurationError, ContextError) as error:
        print(f"aizen-hub: {error}", file=sys.stderr)
        status = ExitCode.ERROR
    except click.ClickException as error:
        error.show()
        if isinstance(error, click.UsageError) and (hint := _hint_of(error)) is not None:
            print(f"  here: {hint}", file=sys.stderr)
        status = error.exit_code
    except (click.Abort, KeyboardInterrupt):
        print("aizen-hub: interrupted", file=sys.stderr)
        status = 130
    except BrokenPipeError:  # the reader of the pipe, such as `head`, has exited
        sys.stderr.close()
        status = ExitCode.DONE
    sys.exit(status if isinstance(status, int) else ExitCode.DONE)
