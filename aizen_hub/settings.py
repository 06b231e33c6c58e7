"""Settings of the hub side and of the service, from one file: ``aizen.yaml``."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import Field, ValidationError, field_validator, model_validator

from aizen_hub.hub_settings import FurtherHubSettings, HubSettings, PanelAddress, check_further_hubs
from aizen_hub.pod_identity_settings import PodIdentitySettings
from aizen_hub.presets import PresetName, fill_settings
from aizen_hub.secret_files import read_password
from aizen_hub.settings_source import (
    ENV_PREFIX as ENV_PREFIX,
)
from aizen_hub.settings_source import (
    Address,
    Section,
    check_query,
    is_postgres,
    parse_override,
    read_yaml,
    set_override,
    with_password,
)
from aizen_hub.settings_source import (
    ConfigurationError as ConfigurationError,
)


class TracingSettings(Section):
    """Where traces are sent: the whole address at which a collector takes OTLP by HTTP."""

    endpoint: Annotated[str, Field(pattern=r"^https?://[^/\s@]+/\S*$")]


class ServiceSettings(Section):
    """Where the service listens and how it is reached.

    ``url`` is its root address as kernels, hub and core reach it; it is the ``iss`` and ``aud`` of role tokens.
    ``drain_seconds`` is how long a service that the hub does not start goes on answering after it was told to stop,
    while ``/readyz`` already tells load balancers to send it no more.
    """

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=1, le=65535)] = 9095
    url: Address | None = None
    managed: bool = True
    deadline_seconds: Annotated[float, Field(gt=0, le=60)] = 5.0
    drain_seconds: Annotated[float, Field(ge=0, le=300)] = 5.0
    trusted_proxies: tuple[str, ...] = ("127.0.0.1", "::1")
    tracing: TracingSettings | None = None


class MetricsSettings(Section):
    """Who may read ``/metrics``, and at which address: without ``port`` at the service's own."""

    token_file: Path | None = None
    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=1, le=65535)] | None = None

    @model_validator(mode="after")
    def _check_host(self) -> MetricsSettings:
        if self.port is None and "host" in self.model_fields_set:
            raise ValueError("`host` has no effect without `port`: set `port` too, or remove `host`")
        return self


class CoreSettings(Section):
    """The core: the platform that executes the commands that are not account commands."""

    url: Address
    audience: str | None = None
    credential_file: Path | None = None
    connect_seconds: Annotated[float, Field(gt=0, le=30)] = 2.0
    idle_seconds: Annotated[float, Field(gt=0, le=600)] = 60.0
    total_seconds: Annotated[float, Field(gt=0, le=86_400)] = 3_600.0


class TokenSettings(Section):
    lifetime_seconds: Annotated[int, Field(ge=30, le=600)] = 300


class SessionSettings(Section):
    hub_down_grace_seconds: Annotated[int, Field(ge=0, le=86_400)] = 600
    heartbeat_seconds: Annotated[int, Field(ge=1, le=300)] = 10
    allow_set_project: bool = True
    project_end_grace_seconds: Annotated[int, Field(ge=0, le=3_600)] = 60


class SpawnSettings(Section):
    """Which keys of ``user_options`` reach the spawner in addition to ``project``; what every user may set (R138)."""

    user_options: tuple[Annotated[str, Field(min_length=1, max_length=100)], ...] = ()


class MailSettings(Section):
    host: str
    port: Annotated[int, Field(ge=1, le=65535)] = 25
    sender: str
    starttls: bool = True
    username: str | None = None
    password_file: Path | None = None


class AlertSettings(Section):
    mail: MailSettings | None = None
    webhook_url: Address | None = None
    webhook_url_file: Path | None = None
    webhook_secret_file: Path | None = None
    # Sent alerts are forgotten after 30 days; a longer notice would be sent twice.
    expiry_notice_hours: Annotated[int, Field(ge=1, le=720)] = 72

    @property
    def has_webhook(self) -> bool:
        return self.webhook_url is not None or self.webhook_url_file is not None

    def read_webhook_url(self) -> str | None:
        """Return the address of the webhook, from its file where one is named; None where there is none.

        Raises
        ------
        SecretFileError
            The file of the address cannot be used.
        """
        return self.webhook_url if self.webhook_url_file is None else read_password(self.webhook_url_file)


class ProviderSettings(Section):
    """One identity provider.

    ``config`` holds trait names of the oauthenticator or ldapauthenticator class, unchanged.
    """

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,31}$")]
    kind: Literal["local", "ldap", "oidc"]
    label: str = ""
    authenticator: str | None = None
    insecure_tls: bool = False
    deadline_seconds: Annotated[float, Field(gt=0, le=60)] = 5.0
    pool_size: Annotated[int, Field(ge=1, le=64)] = 4
    queue_size: Annotated[int, Field(ge=1, le=4096)] = 64
    config: dict[str, Any] = Field(default_factory=dict)


class RateSettings(Section):
    """Rate limits per identity, session and service account (R125)."""

    requests_per_second: Annotated[float, Field(gt=0)] = 50.0
    burst: Annotated[int, Field(ge=1)] = 100
    in_flight_per_session: Annotated[int, Field(ge=1)] = 8
    # One account asks for all users of a tool, so it needs more than the kernels of one server.
    in_flight_per_service_account: Annotated[int, Field(ge=1)] = 32
    # A token is valid for minutes and each one is a durable write; the kernels of one server renew independently.
    tokens_per_minute: Annotated[float, Field(gt=0)] = 30.0
    token_burst: Annotated[int, Field(ge=1)] = 30


class Settings(Section):
    """All of ``aizen.yaml``."""

    preset: PresetName | None = None
    data_dir: Path = Path("aizen-data")
    database: str | None = None
    database_password_file: Path | None = None
    catalog: str = "aizen"
    overlays: tuple[Path, ...] = ()
    admin_user: str = "local:admin"
    auto_register: bool = False
    default_provider: str | None = None
    providers: tuple[ProviderSettings, ...] = (ProviderSettings(name="local", kind="local", label="Local account"),)
    service: ServiceSettings = ServiceSettings()
    hub: HubSettings | None = None
    further_hubs: tuple[FurtherHubSettings, ...] = ()
    panel_url: PanelAddress | None = None
    metrics: MetricsSettings = MetricsSettings()
    core: CoreSettings | None = None
    role_token: TokenSettings = TokenSettings()
    session: SessionSettings = SessionSettings()
    spawn: SpawnSettings = SpawnSettings()
    pod_identity: PodIdentitySettings | None = None
    alerts: AlertSettings = AlertSettings()
    rate: RateSettings = RateSettings()
    hub_secret_file: Path | None = None
    key_encryption_file: Path | None = None
    checkpoint_file: Path | None = None
    checkpoint_database: str | None = None
    checkpoint_database_password_file: Path | None = None
    checkpoint_grace_seconds: Annotated[int, Field(ge=60, le=86_400)] = 300
    group_max_age_seconds: Annotated[int, Field(ge=60)] = 900
    confirm_protected: bool = True
    insecure_same_uid: bool = False
    insecure_same_origin: bool = False
    encrypted_hosts: tuple[str, ...] = ()

    @field_validator("admin_user")
    @classmethod
    def _provider_and_name(cls, value: str) -> str:
        provider, colon, name = value.partition(":")
        if not (provider and colon and name):
            raise ValueError("write it as provider:name, for example `ldap:alice`")
        return value

    @model_validator(mode="after")
    def _check_providers(self) -> Settings:
        names = [provider.name for provider in self.providers]
        repeated = sorted({name for name in names if names.count(name) > 1})
        if repeated:
            raise ValueError(f"two providers are called `{repeated[0]}`: give each its own `name`")
        if not names:
            raise ValueError("`providers` is empty, so no user could sign in: list at least one")
        used = {"default_provider": self.default_provider or names[0]}
        if not self.is_further_hub:  # the first administrator is made by the service, from its own file
            used["admin_user"] = self.admin_user.partition(":")[0]
        for key, name in used.items():
            if name not in names:
                raise ValueError(
                    f"`{key}` names the provider `{name}`, which is not in `providers`: {', '.join(names)}"
                )
        check_further_hubs(self.further_hubs, names)
        return self

    @model_validator(mode="after")
    def _check_panel_url(self) -> Settings:
        if self.panel_url is not None and (self.service.managed or self.hub is not None or self.further_hubs):
            raise ValueError(
                "`panel_url` is for a hub that shares the service of another one: set `service.managed: false`, and "
                "leave `hub` and `further_hubs` to the file of the service"
            )
        return self

    @model_validator(mode="after")
    def _check_database_password(self) -> Settings:
        for key in ("database", "checkpoint_database"):
            instead = f"write it into a file of mode 0600 and name that as `{key}_password_file`"
            check_query(getattr(self, key) or "", key, instead)
            if getattr(self, f"{key}_password_file") is None:
                continue
            parts = urlsplit(getattr(self, key) or "")
            if not is_postgres(parts.scheme) or not parts.username or parts.password is not None:
                raise ValueError(
                    f"`{key}_password_file` needs a PostgreSQL `{key}` with a user and without a password: "
                    "postgresql://user@host/name"
                )
        return self

    @model_validator(mode="after")
    def _check_checkpoint_database(self) -> Settings:
        if self.checkpoint_database is None:
            return self
        parts = urlsplit(self.checkpoint_database)
        if not is_postgres(parts.scheme) or not parts.username:
            raise ValueError(
                "`checkpoint_database` must be a PostgreSQL database and a role of its own: postgresql://role@host/name"
            )
        if parts.username == urlsplit(self.database or "").username:
            raise ValueError(
                "`checkpoint_database` must name another role than `database`: who can write both can replace the"
                " audit together with what proves its end; see deploy/postgresql"
            )
        return self

    @property
    def registration_provider(self) -> str:
        """The provider of a registration that does not name one."""
        return self.default_provider or self.providers[0].name

    @property
    def database_url(self) -> str:
        """The URL of the database, with the password of ``database_password_file``.

        Raises
        ------
        ConfigurationError
            That file cannot be used.
        """
        url = self.database or f"sqlite:///{(self.data_dir / 'aizen.sqlite').absolute()}"
        return with_password(url, "database_password_file", self.database_password_file)

    @property
    def uses_sqlite(self) -> bool:
        """Whether the database is a SQLite file, so that only one service instance is allowed."""
        return (self.database or "sqlite").startswith("sqlite")

    @property
    def service_url(self) -> str:
        """The service's root address, without a final slash: ``issuer`` and ``audience`` of role tokens."""
        return (self.service.url or f"http://{self.service.host}:{self.service.port}").rstrip("/")

    @property
    def is_further_hub(self) -> bool:
        """Whether the hub that reads this file shares the service of another one, where its panel is."""
        return self.panel_url is not None

    @property
    def hub_secret_path(self) -> Path:
        return self.hub_secret_file or self.data_dir / "hub-secret"

    @property
    def api_token_path(self) -> Path:
        """The file with the token by which the service signs browsers in at the hub."""
        configured = self.hub.api_token_file if self.hub else None
        return configured or self.data_dir / "service-api-token"

    @property
    def key_encryption_path(self) -> Path:
        return self.key_encryption_file or self.data_dir / "key-encryption-key"

    @property
    def checkpoint_database_url(self) -> str | None:
        """The URL of the database with the checkpoints, with its password; None where they are in a file.

        Raises
        ------
        ConfigurationError
            Its password file cannot be used.
        """
        url, file = self.checkpoint_database, self.checkpoint_database_password_file
        return None if url is None else with_password(url, "checkpoint_database_password_file", file)

    @property
    def checkpoint_path(self) -> Path:
        """The file with the checkpoints, where ``checkpoint_database`` is not set."""
        return self.checkpoint_file or self.data_dir / "audit-checkpoints.jsonl"

    @classmethod
    def load(cls, path: str | Path, environ: Mapping[str, str] | None = None) -> Settings:
        """Read the file and the ``AIZEN_*`` overrides.

        The name of an override is the key, with sections joined by two underscores: ``AIZEN_SERVICE__PORT=9096``. Only
        variables whose first part is a known key are overrides, since variables of kernels share the prefix. Relative
        paths are resolved against the folder of the file.

        Raises
        ------
        ConfigurationError
            The file is missing or not YAML, a key is unknown, or a value is invalid.
        """
        path = Path(path)
        data = read_yaml(path)
        if not isinstance(data, dict):
            raise ConfigurationError(f"{path}: expected `key: value` pairs at the top")
        for name, value in (os.environ if environ is None else environ).items():
            keys = name.removeprefix(ENV_PREFIX).lower().split("__")
            if name.startswith(ENV_PREFIX) and keys[0] in cls.model_fields:
                set_override(data, keys, parse_override(name, value))
        fill_settings(data)
        folder = path.absolute().parent
        try:
            settings: Settings = _resolve_paths(cls.model_validate(data), folder)
        except ValidationError as error:
            details = error.errors(include_url=False, include_input=False)
            lines = [f"{path}: {_describe_error(detail)}" for detail in details]
            raise ConfigurationError("\n".join(lines)) from None
        # These two are paths only in some cases.
        return settings.model_copy(
            update={
                "catalog": _resolve_catalog(settings.catalog, folder),
                "database": settings.database and resolve_database(settings.database, folder),
            }
        )


def _resolve_paths(value: Any, folder: Path) -> Any:
    """Return a setting with every relative path in it, at any depth, resolved against ``folder``."""
    if isinstance(value, Path):
        return folder / value
    if isinstance(value, tuple):
        return tuple(_resolve_paths(item, folder) for item in value)
    if isinstance(value, Section):
        return value.model_copy(update={name: _resolve_paths(field, folder) for name, field in value})
    return value


def _resolve_catalog(name: str, folder: Path) -> str:
    return str(folder / name) if "/" in name or Path(name).suffix else name


def resolve_database(url: str, folder: Path) -> str:
    """Return the URL of a database, with a relative SQLite file resolved against ``folder``."""
    scheme, slashes, file = url.partition(":///")
    relative = scheme.startswith("sqlite") and file and not file.startswith(("/", ":memory:", "file:"))
    return f"{scheme}{slashes}{folder / file}" if relative else url


def _describe_error(error: Any) -> str:
    key = ".".join(str(part) for part in error["loc"]) or "the file"
    if error["type"] == "extra_forbidden":
        return f"`{key}` is not a known key: check the spelling, or remove it"
    if error["type"] == "model_type":
        return f"`{key}`: expected `key: value` pairs below it: write some, or remove it"
    return f"`{key}`: {error['msg'].removeprefix('Value error, ')}"
