"""``aizen-hub doctor``: what is missing, and what is risky, on this machine."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from aizen_hub.cli.commands.database import config_option
from aizen_hub.cli.exit_codes import Outcome
from aizen_hub.cli.output import output_option, say, show_rows
from aizen_hub.settings import ConfigurationError, Settings


@click.command()
@config_option
@click.option(
    "--hub-config",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The hub's configuration file; default: jupyterhub_config.py beside aizen.yaml.",
)
@output_option
def doctor(config: Path, hub_config: Path | None, output: str) -> int:
    """Look at this installation and say what is missing or risky, each with its remedy.

    It reads the settings, files and secrets, the hub's configuration, the database with its keys and undelivered
    alerts, the running service (is it sealed, behind, signing the audit), and asks directories, identity providers,
    the core and the mail server whether they answer. With AIZEN_HUB_URL and AIZEN_HUB_TOKEN of an administrator it
    also names servers that run without a session.

    Run it on the service's machine and under its account. It changes nothing.

    Exit codes: 0 nothing must be mended, though there may be warnings; 1 something must.
    """
    from aizen_hub.cli.doctor import endpoints as places
    from aizen_hub.cli.doctor import environment as machine
    from aizen_hub.cli.doctor import hub, service, store
    from aizen_hub.cli.doctor.finding import Finding

    findings = list(machine.versions())
    try:
        settings = Settings.load(config)
    except ConfigurationError as error:
        findings.append(Finding("fail", str(error)))
    else:
        findings.append(Finding("ok", f"{config} is well formed"))
        for look in (machine.files, machine.catalog, machine.choices, store.look, service.look):
            findings += look(settings)
        findings += places.look(settings, config.absolute().parent)
        findings += hub.look(hub_config or config.absolute().parent / "jupyterhub_config.py", settings)
    show_rows(output, ("level", "what", "remedy"), [asdict(one) for one in findings])
    failed = sum(one.level == "fail" for one in findings)
    say(f"{failed} to mend, {sum(one.level == 'warn' for one in findings)} to think about")
    return Outcome.ERROR if failed else Outcome.DONE
