"""The token of this server's pod, by which a service with `pod_identity` recognizes it."""

from __future__ import annotations

from pathlib import Path

VARIABLE = "AIZEN_POD_TOKEN_FILE"
HEADER = "X-Aizen-Pod-Token"
_MAX_FILE = 16 * 1024


def read_header(file: str | None) -> dict[str, str]:
    """Return the header with the token, read anew, since Kubernetes replaces it every few minutes.

    Without a token there is no header: the service says what is missing.
    """
    if file is None:
        return {}
    try:
        with Path(file).open(encoding="ascii") as stream:
            token = stream.read(_MAX_FILE).strip()
    except (OSError, ValueError):
        return {}
    return {HEADER: token} if token and token.isprintable() else {}
