"""The secrets that this service shares with hubs, core and monitoring: each in a file of its own, and all different."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from aizen_hub.hub_settings import MAIN_HUB
from aizen_hub.secret_files import SecretFileError, read_or_create_secret, read_secret
from aizen_hub.service.runtime.parent_death import StartupError
from aizen_hub.settings import Settings


@dataclass(frozen=True, slots=True)
class SharedSecrets:
    """What others prove themselves with at this service.

    Attributes
    ----------
    hubs : mapping of str to str
        By the id of the hub, the main one first.
    core, metrics : str or None
        The core's credential, and what a reader of the metrics must send.
    """

    hubs: Mapping[str, str] = field(repr=False)
    core: str | None = field(repr=False)
    metrics: str | None = field(repr=False)

    @classmethod
    def read(cls, settings: Settings) -> SharedSecrets:
        """Read the files.

        Raises
        ------
        StartupError
            A file cannot be used, or two of them hold the same secret, which would give one's rights to the other.
        """
        core_file = settings.core.credential_file if settings.core else None
        metrics_file = settings.metrics.token_file
        try:
            # Hub and service share this file; if both start at once, the first creates it.
            read_main = read_or_create_secret if settings.uses_sqlite else read_secret
            hubs = {MAIN_HUB: read_main(settings.hub_secret_path)}
            hubs |= {hub.id: read_secret(hub.secret_file) for hub in settings.further_hubs}
            core = read_secret(core_file) if core_file else None
            metrics = read_secret(metrics_file) if metrics_file else None
        except SecretFileError as error:
            raise StartupError(str(error)) from None
        owners: dict[str, str] = {}
        for owner, secret in (
            *((_name_of(hub), secret) for hub, secret in hubs.items()),
            ("the core's credential", core),
            ("the token of the metrics", metrics),
        ):
            if secret is None:
                continue
            if secret in owners:
                raise StartupError(f"{owner} is also {owners[secret]}: give each its own")
            owners[secret] = owner
        return cls(hubs, core, metrics)


def _name_of(hub: str) -> str:
    return "the hub secret" if hub == MAIN_HUB else f"the secret of the hub `{hub}`"
