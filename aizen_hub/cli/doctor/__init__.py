"""``aizen-hub doctor``: checks of the installation on this machine."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import click

from aizen_hub.cli.exit_codes import ExitCode
from aizen_hub.cli.options import config_option
from aizen_hub.cli.output import output_option, show_message, show_rows
from aizen_hub.settings import ConfigurationError, Settings


@click.command()
@config_option
@click.option(
    "--hub-config",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The hub's configuration file; default: jupyterhub_config.py in the folder of aizen.yaml.",
)
@click.option("--production", is_flag=True, help="Report as errors what is acceptable in a trial only.")
@output_option
def doctor(config: Path, hub_config: Path | None, production: bool, output: str) -> int:
    """Check this installation and list errors and risks, each with a remedy.

    It reads the settings, files and secrets, the hub's configuration, the database with its keys and undelivered
    alerts, and the state of the running service (sealed, lagging, signing the audit), and connects to the directories,
    identity providers, the core and the mail server. With AIZEN_HUB_URL and AIZEN_HUB_TOKEN of an administrator it
    also lists servers without a session.

    Run it on the service's machine under its account. It changes nothing.

    Exit codes: 0 no errors, though there may be warnings; 1 errors.
    """
    from aizen_hub.cli.doctor import endpoints, environment, hub, service, store
    from aizen_hub.cli.doctor.check_result import CheckResult

    results = list(environment.check_versions())
    try:
        settings = Settings.load(config)
    except ConfigurationError as error:
        results.append(CheckResult("fail", str(error)))
    else:
        results.append(CheckResult("ok", f"{config} is well formed"))
        for check in (
            environment.check_files,
            environment.check_catalog,
            environment.check_risky_settings,
            store.check_store,
            service.check_service,
        ):
            results += check(settings)
        results += endpoints.check_endpoints(settings, config.absolute().parent)
        results += hub.check_hub_config(hub_config or config.absolute().parent / "jupyterhub_config.py", settings)
    if production:
        results = [replace(result, level="fail") if result.production else result for result in results]
    columns = ("level", "message", "remedy")
    show_rows(output, columns, [{name: getattr(result, name) for name in columns} for result in results])
    failed = sum(result.level == "fail" for result in results)
    warnings = sum(result.level == "warn" for result in results)
    show_message(f"{_count(failed, 'error')}, {_count(warnings, 'warning')}")
    return ExitCode.ERROR if failed else ExitCode.DONE


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
