"""The reference of the command line, as a page and as a manual page, from the help of its commands."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from dataclasses import dataclass

import click

from aizen_hub.cli.examples import EXAMPLES
from aizen_hub.cli.exit_codes import MEANINGS
from aizen_hub.cli.main import COMMANDS, cli
from docs.generator.markdown import NOTICE, escape_cell, format_table

_SHARED = ("output", "columns", "no_headers", "url", "token_file", "context", "dry_run")
"""Options that many commands have, described once."""
_CONNECTION = ("url", "token_file", "context")
"""They are those of a connection where all three are there; elsewhere such an option means something else."""
_INTRODUCTION = """\
# The command line

`aizen-hub login https://…` signs in to a hub, at the address that the browser shows. `aizen-hub COMMAND --help` shows
what is on this page, and so does `man aizen-hub` where the package is installed. For completion by the shell see
`aizen-hub completion`. The first characters of an id are enough.

[A recorded terminal](../images/command-line.cast) shows a refusal, why, a grant for a day, and its end;
`asciinema play` plays it.

Times are a day, which still counts as an end (`2026-12-31`), a duration (`7d`, `2h30m`), `today`, `yesterday`,
`tomorrow`, `eod`, or a time of this machine's zone (`2026-12-31T18:00`; with `Z` of UTC). Sizes are bytes, or `8GiB`.
"""


@dataclass(frozen=True)
class DescribedCommand:
    """One command as the references show it.

    Attributes
    ----------
    path : str
        Its words, without ``aizen-hub``.
    paragraphs : tuple of str
        Of its help.
    options : tuple of (str, str)
        Its own options and their help.
    shared : tuple of str
        Those that are described once.
    example : str
        A whole command, or empty.
    """

    path: str
    usage: str
    paragraphs: tuple[str, ...]
    options: tuple[tuple[str, str], ...]
    shared: tuple[str, ...]
    example: str


def described_commands() -> Iterator[DescribedCommand]:
    """Yield every command, in the order of ``aizen-hub --help``."""
    root = click.Context(cli, info_name="aizen-hub")
    for name in COMMANDS:
        command = cli.get_command(root, name)
        assert command is not None, name
        yield from _describe(command, name, root)


def shared_options() -> list[tuple[str, str]]:
    """Return the options that many commands have, with their help."""
    found: dict[str, tuple[str, str]] = {}
    for command, context in _leaves():
        for parameter in command.params:
            record = parameter.get_help_record(context) if _is_shared(command, parameter) else None
            if record is not None and parameter.name is not None:
                found.setdefault(parameter.name, record)
    return [found[name] for name in _SHARED]


def build_command_line_page() -> str:
    """Return the page in Markdown."""
    codes = format_table(("exit code", "meaning"), [(str(int(code)), text) for code, text in MEANINGS.items()])
    shared = format_table(
        ("option of many commands", ""),
        [(f"`{escape_cell(opts)}`", escape_cell(text)) for opts, text in shared_options()],
    )
    parts = [NOTICE, _INTRODUCTION, codes, shared]
    for command in described_commands():
        parts.append(f"## `aizen-hub {command.path}`\n")
        parts.append(f"```text\n{command.usage}\n```\n")
        parts += [f"{_escape_markdown(paragraph)}\n" for paragraph in command.paragraphs]
        parts.append(
            format_table(
                ("option", ""), [(f"`{escape_cell(opts)}`", escape_cell(text)) for opts, text in command.options]
            )
        )
        if command.shared:
            parts.append("Also " + ", ".join(f"`{name}`" for name in command.shared) + ".\n")
        if command.example:
            parts.append(f"```text\n{command.example}\n```\n")
    return "\n".join(part for part in parts if part)


def build_manual_page() -> str:
    """Return the manual page (section 1) in roff."""
    lines = ['.\\" Written by `make reference` from the help of the commands.', '.TH AIZEN-HUB 1 "" "aizen-hub"']
    lines += [".SH NAME", "aizen-hub \\- roles per project for JupyterHub, and a decision for every command"]
    lines += [".SH SYNOPSIS", ".B aizen-hub", "COMMAND [OPTIONS] [ARGUMENTS]", ".SH DESCRIPTION"]
    for paragraph in _paragraphs(cli):
        lines += [".PP", _escape_roff(paragraph)]
    lines.append(".SH OPTIONS OF MANY COMMANDS")
    for opts, text in shared_options():
        lines += [".TP", f".B {_escape_roff(opts)}", _escape_roff(text)]
    lines.append(".SH COMMANDS")
    for command in described_commands():
        lines += [f'.SS "{_escape_roff(command.usage)}"']
        for paragraph in command.paragraphs:
            lines += [".PP", _escape_roff(paragraph)]
        for opts, text in command.options:
            lines += [".TP", f".B {_escape_roff(opts)}", _escape_roff(text)]
        if command.shared:
            lines += [".PP", _escape_roff("Also " + ", ".join(command.shared) + ".")]
        if command.example:
            lines += [".PP", "Example:", ".br", _escape_roff(command.example)]
    lines.append(".SH EXIT STATUS")
    for code, text in MEANINGS.items():
        lines += [".TP", f".B {int(code)}", _escape_roff(text)]
    return "\n".join(lines)


def _is_shared(command: click.Command, parameter: click.Parameter) -> bool:
    connects = {*_CONNECTION} <= {other.name for other in command.params}
    is_named = parameter.name in _SHARED and (connects or parameter.name not in _CONNECTION)
    return is_named and isinstance(parameter, click.Option)


def _leaves() -> Iterator[tuple[click.Command, click.Context]]:
    root = click.Context(cli, info_name="aizen-hub")
    waiting = [(name, cli.get_command(root, name), root) for name in reversed(COMMANDS)]
    while waiting:
        path, command, parent = waiting.pop()
        assert command is not None, path
        context = click.Context(command, info_name=path.split()[-1], parent=parent)
        if isinstance(command, click.Group):
            waiting += [(f"{path} {name}", inner, context) for name, inner in reversed(command.commands.items())]
        else:
            yield command, context


def _describe(command: click.Command, path: str, parent: click.Context) -> Iterator[DescribedCommand]:
    context = click.Context(command, info_name=path.split()[-1], parent=parent)
    options, shared = [], []
    for parameter in command.params:
        record = parameter.get_help_record(context) if isinstance(parameter, click.Option) else None
        if record is None:
            continue
        if _is_shared(command, parameter):
            shared.append(parameter.opts[-1] if parameter.opts[-1].startswith("--") else parameter.opts[0])
        else:
            options.append(record)
    usage = " ".join([f"aizen-hub {path}", *command.collect_usage_pieces(context)])
    example = f"aizen-hub {path} {EXAMPLES[path]}" if path in EXAMPLES else ""
    yield DescribedCommand(path, usage, _paragraphs(command), tuple(options), tuple(shared), example)
    if isinstance(command, click.Group):
        for name, inner in command.commands.items():
            yield from _describe(inner, f"{path} {name}", context)


def _paragraphs(command: click.Command) -> tuple[str, ...]:
    text = inspect.cleandoc(command.help or "").replace("\b\n", "")
    return tuple(" ".join(part.split()) for part in re.split(r"\n\s*\n", text) if part.strip())


def _escape_markdown(text: str) -> str:
    return (
        text.replace("<", "&lt;").replace("*", "\\*").replace("_", "\\_")
        if "`" not in text
        else text.replace("<", "&lt;")
    )


def _escape_roff(text: str) -> str:
    escaped = text.replace("\\", "\\e").replace("-", "\\-").replace('"', "\\(dq")
    return f"\\&{escaped}" if escaped[:1] in (".", "'") else escaped
