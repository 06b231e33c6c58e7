"""All checks of the doctor, in the order of its report."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from aizen_hub.cli.doctor import (
    addresses,
    certificates,
    checkpoint_database,
    config_files,
    data_files,
    directory,
    endpoints,
    further_hubs,
    hub_config,
    hub_rules,
    hub_secrets,
    hub_server,
    keys,
    machine,
    preset,
    programs,
    replicas,
    secret_settings,
    service,
    shared_host,
    store,
)
from aizen_hub.diagnosis import accounts, configuration
from aizen_hub.diagnosis.check_result import CheckResult
from aizen_hub.diagnosis.check_runner import Check, run_each
from aizen_hub.diagnosis.installation import Installation
from aizen_hub.settings import ConfigurationError, Settings

MACHINE_CHECKS = (
    Check("the installed packages", machine.check_packages),
    Check("the account", machine.check_account),
    Check("the clock", machine.check_clock),
    Check("the variables", machine.check_variables),
)
"""Without arguments."""
CONFIG_FILE_CHECKS = (Check("the configuration files", config_files.check_config_files),)
"""With the paths of both configuration files, which may be missing or invalid."""
STORE_CHECKS = (
    Check("the durability of the database", store.check_durability),
    Check("the privileges in the database", store.check_privileges),
    Check("the catalog of the database", store.check_catalog_in_force),
    Check("the clock of the database", store.check_clock),
    Check("the replicas", replicas.check_replicas),
    Check("the alerts", store.check_outbox),
    Check("the backups", store.check_backups),
    Check("the keys", keys.check_keys),
    Check("the checkpoints", keys.check_checkpoints),
    Check("who can change the checkpoints", checkpoint_database.check_other_roles),
    Check("the administrators", accounts.check_administrators),
    Check("the credentials of service accounts", accounts.check_credentials),
    Check("the providers of the users", accounts.check_providers),
)
"""With the `Store` and the `Installation`."""
SETTINGS_CHECKS = (
    Check("the catalog", configuration.check_catalog),
    Check("settings that disable a protection", configuration.check_risky_settings),
    Check("settings that do not fit together", configuration.check_conflicts),
    Check("the addresses of the service", addresses.check_own_addresses),
    Check("the addresses of other servers", addresses.check_other_addresses),
    Check("the certificates of the addresses", certificates.check_settings_certificates),
    Check("the trusted proxies", addresses.check_trusted_proxies),
    Check("the data folder", data_files.check_data_folder),
    Check("the disks", data_files.check_disks),
    Check("the checkpoint file", data_files.check_checkpoint_file),
    Check("the checkpoint database", checkpoint_database.check_checkpoint_database),
    Check("the secret files", secret_settings.check_secret_files),
    Check("secrets in aizen.yaml", secret_settings.check_inline_secrets),
    Check("the database", lambda installation: store.check_store(installation, STORE_CHECKS)),
    Check("the service", service.check_service),
    Check("the running hub", hub_server.check_hub_server),
    Check("the further hubs", further_hubs.check_further_hubs),
    Check("the directories", directory.check_directories),
    Check("other servers", endpoints.check_endpoints),
)
"""With the `Installation`."""
_OF_SERVICE = frozenset({
    "settings that do not fit together", "the checkpoint file", "the checkpoint database",
    "the database", "the running hub", "the further hubs",
})  # fmt: skip
FURTHER_HUB_CHECKS = tuple(check for check in SETTINGS_CHECKS if check.subject not in _OF_SERVICE)
"""The same at a hub that shares the service of another one: what only the service uses is not in its file."""
HUB_CHECKS = (
    Check("the protections of the hub", hub_rules.check_protections),
    Check("the address of the hub", hub_rules.check_address),
    Check("the certificate of the hub", hub_rules.check_certificate),
    Check("the certificate of the hub's address", certificates.check_hub_certificate),
    Check("the way from user servers to the service", hub_rules.check_reachability),
    Check("the programs of the hub", lambda hub, _installation: programs.check_programs(hub)),
    Check(
        "the accounts of this machine",
        lambda hub, installation: shared_host.check_shared_host(hub, installation.settings),
    ),
    Check("the secrets of the hub", hub_secrets.check_hub_secrets),
    Check("the preset", preset.check_preset),
)
"""With the hub's configuration and the `Installation`."""


def run_checks(config_path: Path, hub_config_path: Path) -> Iterator[CheckResult]:
    """Run all checks; where one of the two files is invalid, those that do not need it."""
    yield from run_each(MACHINE_CHECKS)
    yield from run_each(CONFIG_FILE_CHECKS, config_path, hub_config_path)
    try:
        settings = Settings.load(config_path)
    except ConfigurationError as error:
        for line in str(error).splitlines():
            yield CheckResult.error(
                "settings", str(config_path), line, "correct the file; `aizen-hub init` shows all keys"
            )
        return
    yield CheckResult.passed("settings", f"{config_path} is well formed")
    installation = Installation(config_path, settings, hub_config_path)
    yield from run_each(FURTHER_HUB_CHECKS if settings.is_further_hub else SETTINGS_CHECKS, installation)
    hub, results = hub_config.load_hub_config(installation)
    yield from results
    if hub is not None:
        yield from run_each(HUB_CHECKS, hub, installation)
