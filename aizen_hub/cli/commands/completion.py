"""``aizen-hub completion``: the script that a shell loads."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from aizen_hub.cli.exit_codes import Outcome


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> int:
    """Print the completion script of SHELL.

    \b
    bash: eval "$(aizen-hub completion bash)"     in ~/.bashrc
    zsh:  eval "$(aizen-hub completion zsh)"      in ~/.zshrc
    fish: aizen-hub completion fish | source      in ~/.config/fish/config.fish
    """
    from aizen_hub.cli.main import cli

    kind = get_completion_class(shell)
    if kind is None:
        raise click.UsageError(f"no completion for {shell}")
    click.echo(kind(cli, {}, "aizen-hub", "_AIZEN_HUB_COMPLETE").source())
    return Outcome.DONE
