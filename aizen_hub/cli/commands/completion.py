"""``aizen-hub completion``: shell completion scripts."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from aizen_hub.cli.bash_completion import register
from aizen_hub.cli.exit_codes import ExitCode


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> int:
    """Print the completion script of SHELL.

    \b
    bash: eval "$(aizen-hub completion bash)"     in ~/.bashrc
    zsh:  eval "$(aizen-hub completion zsh)"      in ~/.zshrc
    fish: aizen-hub completion fish | source      in ~/.config/fish/config.fish
    """
    from aizen_hub.cli.main import COMPLETION_VARIABLE, cli

    register()
    completion_class = get_completion_class(shell)
    if completion_class is None:
        raise click.UsageError(f"no completion for {shell}")
    click.echo(completion_class(cli, {}, "aizen-hub", COMPLETION_VARIABLE).source())
    return ExitCode.DONE
