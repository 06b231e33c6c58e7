"""``aizen-hub doctor``: checks of the installation on this machine."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from aizen_hub.cli.exit_codes import ExitCode
from aizen_hub.cli.options import config_option
from aizen_hub.cli.output import Output, output_option, show_message, show_rows

if TYPE_CHECKING:
    from aizen_hub.diagnosis.check_result import CheckResult

_DOCUMENTATION = "/services/aizen/docs/"
"""Where the hub shows the documentation."""


@click.command()
@config_option
@click.option(
    "--hub-config",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The hub's configuration file; default: jupyterhub_config.py in the folder of aizen.yaml.",
)
@click.option("--production", is_flag=True, help="Report as errors what is acceptable in a trial only.")
@click.option("--strict", is_flag=True, help="Report all warnings as errors.")
@output_option
def doctor(config: Path, hub_config: Path | None, production: bool, strict: bool, output: Output) -> int:
    """Check this installation and list errors and risks: what is wrong, in which file and key, and its remedy.

    It reads the settings, files and secrets, the hub's configuration, the database with its keys, checkpoints, accounts
    and undelivered alerts, and the state of the running service (sealed, lagging, signing the audit), and connects to
    the directories, identity providers, the core and the mail server. With AIZEN_HUB_URL and AIZEN_HUB_TOKEN of an
    administrator it also lists servers without a session.

    Each finding names the page of the documentation that explains its remedy: an address at the hub.

    Run it on the service's machine under its account. It changes nothing.

    Exit codes: 0 no errors, though there may be warnings; 1 errors.
    """
    from aizen_hub.cli.doctor.checks import run_checks

    hub_config_path = hub_config or config.absolute().parent / "jupyterhub_config.py"
    results = [
        _at_level(result, production=production, strict=strict) for result in run_checks(config, hub_config_path)
    ]
    rows = [_to_row(result) for result in results]
    show_rows(output, ("level", "where", "message", "remedy"), rows)
    if output.format is None:
        _show_pages(rows)
    failed = sum(result.level == "fail" for result in results)
    warnings = sum(result.level == "warn" for result in results)
    show_message(f"{_count(failed, 'error')}, {_count(warnings, 'warning')}")
    return ExitCode.ERROR if failed else ExitCode.DONE


def _at_level(result: CheckResult, *, production: bool, strict: bool) -> CheckResult:
    is_error = result.level == "warn" and (strict or (production and result.production))
    return replace(result, level="fail") if is_error else result


def _to_row(result: CheckResult) -> dict[str, str]:
    from aizen_hub.diagnosis.remedy_pages import remedy_page

    row = {name: value for name, value in asdict(result).items() if name != "production"}
    return {**row, "docs": "" if result.level == "ok" else _DOCUMENTATION + remedy_page(result.check)}


def _show_pages(rows: list[dict[str, str]]) -> None:
    """Print the pages that explain the remedies, each once: as a column they would leave no room for the others."""
    pages: dict[str, list[str]] = {}
    for row in rows:
        if row["docs"] and row["check"] not in pages.setdefault(row["docs"], []):
            pages[row["docs"]].append(row["check"])
    if pages:
        show_message("the remedies are explained at the hub:")
    for page, checks in pages.items():
        show_message(f"  {page} ({', '.join(checks)})")


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
