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

    Run it on the service's machine under its account. It changes nothing.

    Exit codes: 0 no errors, though there may be warnings; 1 errors.
    """
    from aizen_hub.cli.doctor.checks import run_checks

    hub_config_path = hub_config or config.absolute().parent / "jupyterhub_config.py"
    results = [
        _at_level(result, production=production, strict=strict) for result in run_checks(config, hub_config_path)
    ]
    rows = [{name: value for name, value in asdict(result).items() if name != "production"} for result in results]
    show_rows(output, ("level", "where", "message", "remedy"), rows)
    failed = sum(result.level == "fail" for result in results)
    warnings = sum(result.level == "warn" for result in results)
    show_message(f"{_count(failed, 'error')}, {_count(warnings, 'warning')}")
    return ExitCode.ERROR if failed else ExitCode.DONE


def _at_level(result: CheckResult, *, production: bool, strict: bool) -> CheckResult:
    is_error = result.level == "warn" and (strict or (production and result.production))
    return replace(result, level="fail") if is_error else result


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
