"""The section `pod_identity` of ``aizen.yaml``, which hub and service read."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field

from aizen_hub.settings_source import Address, Section

_Namespace = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}\*?$")]


class PodIdentitySettings(Section):
    """How the service checks which pod a role token comes from, by the API server of Kubernetes.

    ``namespaces`` are those of the user servers; a name that ends in ``*`` stands for all that begin so. The audience
    of the token of a pod is ``audience`` and the id of its session. ``token_file`` authenticates the service.
    """

    namespaces: Annotated[tuple[_Namespace, ...], Field(min_length=1, max_length=1_000)]
    audience: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._/-]{0,99}$")] = "aizen-hub"
    api_url: Annotated[Address, Field(pattern=r"^https:/{2}[^/\s@?#]+/?$")] = "https://kubernetes.default.svc"
    ca_file: Path = Path("/var/run/secrets/kubernetes.io/serviceaccount/ca.crt")
    token_file: Path = Path("/var/run/secrets/kubernetes.io/serviceaccount/token")

    def audience_of(self, session_id: str) -> str:
        """Return the audience of the tokens of a session's pod, which no other session has."""
        return f"{self.audience}:{session_id}"

    def permits_namespace(self, name: str) -> bool:
        """Return whether user servers run in a namespace."""
        return any(
            name.startswith(pattern[:-1]) if pattern.endswith("*") else name == pattern for pattern in self.namespaces
        )
