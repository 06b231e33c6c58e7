"""Public keys from files, PEM or JWK."""

from __future__ import annotations

from pathlib import Path

import click

from aizen_hub.problems import BadInput
from aizen_hub.tokens.public_key import read_public_jwk

_MAX_BYTES = 16 << 10


def read_public_key(file: Path) -> dict[str, object]:
    """Return the public key in a file as a JWK (RFC 7517); of a private key, its public half.

    Raises
    ------
    click.UsageError
        The file cannot be read or does not contain one such key.
    """
    try:
        with file.open("rb") as source:
            data = source.read(_MAX_BYTES + 1)
    except OSError as error:
        raise click.UsageError(f"{file}: {error.strerror}") from None
    if len(data) > _MAX_BYTES:
        raise click.UsageError(f"{file}: larger than one key can be")
    try:
        return read_public_jwk(data)
    except BadInput as problem:
        raise click.UsageError(f"{file}: {problem.detail}") from None
