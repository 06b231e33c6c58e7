"""What settings are made of, and where they come from: YAML, variables of the environment, and files with passwords."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any
from urllib.parse import parse_qsl, quote, urlsplit

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict

from aizen_hub.secret_files import SecretFileError, read_password
from aizen_hub.validation.web_address import check_address

ENV_PREFIX = "AIZEN_"
_QUERY_REMEDIES = {
    "sslpassword": "use a key without a passphrase, which only its owner can read",
    "oauth_client_secret": "sign in with a password or a certificate",
    "scram_client_key": "write a password instead of the key",
    "scram_server_key": "write a password instead of the key",
}
"""Secrets that the driver of PostgreSQL takes from the query of a URL beside ``password``, and what to do instead."""


Address = Annotated[str, AfterValidator(check_address)]


class Section(BaseModel):
    """A section of the configuration file: unknown keys are errors, and values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True, validate_default=True)


class ConfigurationError(ValueError):
    """The configuration is invalid; the message names the file, the key and the remedy (R1)."""


def read_yaml(path: Path) -> Any:
    """Return the content of a YAML file; ConfigurationError names the file and what is wrong."""
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except FileNotFoundError:
        raise ConfigurationError(f"{path}: no such file; `aizen-hub init` writes one with comments") from None
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{path}: not UTF-8 at byte {error.start}: save it as UTF-8") from None
    except (yaml.YAMLError, ValueError) as error:  # ValueError: an impossible date
        raise ConfigurationError(f"{path}: not YAML: {error}") from None


def parse_override(name: str, text: str) -> Any:
    """Return the value of a variable, which is written as YAML."""
    try:
        return yaml.safe_load(text)
    except (yaml.YAMLError, ValueError):  # YAML's message would show the value, which may be a secret
        raise ConfigurationError(f"the variable {name}: not YAML: put quotes around its value") from None


def is_postgres(scheme: str) -> bool:
    """Whether the scheme of a database URL is that of PostgreSQL, with or without a driver."""
    return scheme.partition("+")[0] in ("postgresql", "postgres")


def check_query(url: str, key: str, remedy: str) -> None:
    """Check that the query of a database URL holds no secret: only a password before the host is hidden when shown.

    Parameters
    ----------
    key : str
        The setting, as the message names it.
    remedy : str
        Where a password belongs.

    Raises
    ------
    ConfigurationError
    """
    # Taken apart as the driver does, which knows no fragment.
    for name, _ in parse_qsl(url.partition("?")[2], keep_blank_values=True):
        if name == "password" or name in _QUERY_REMEDIES:
            raise ConfigurationError(
                f"`{key}` has `{name}` after the `?`, where it would be shown and recorded with the address: remove it,"
                f" and {_QUERY_REMEDIES.get(name, remedy)}"
            )


def with_password(url: str, key: str, file: Path | None) -> str:
    """Return a database URL with the password of a file; ConfigurationError if that cannot be used."""
    if file is None:
        return url
    try:
        password = quote(read_password(file), safe="")
    except SecretFileError as error:
        raise ConfigurationError(f"`{key}`: {error}") from None
    parts = urlsplit(url)
    return parts._replace(netloc=f"{parts.username}:{password}@{parts.netloc.rpartition('@')[2]}").geturl()


def set_override(data: dict[str, Any], keys: list[str], value: Any) -> None:
    """Set the value at a path of keys; ConfigurationError if a key on the way is no section."""
    for key in keys[:-1]:
        data = data.setdefault(key, {})
        if not isinstance(data, dict):
            raise ConfigurationError(f"{ENV_PREFIX}{'__'.join(keys).upper()}: `{key}` is not a section")
    data[keys[-1]] = value
