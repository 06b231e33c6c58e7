"""Servers as containers, without tokens in what the daemon shows of them."""

from __future__ import annotations

import io
import tarfile
from typing import Any, Final

from dockerspawner import DockerSpawner
from traitlets import Bool, Integer

from aizen_hub.hub.spawn.server_tokens import remove_tokens

FOLDER: Final = "/run/secrets/aizen"
HUB_TOKEN_FILE: Final = f"{FOLDER}/hub-token"
_WRAPPER: Final = f'JUPYTERHUB_API_TOKEN=$(cat {HUB_TOKEN_FILE}) && export JUPYTERHUB_API_TOKEN && exec "$@"'


class AizenDockerSpawner(DockerSpawner):
    """The DockerSpawner of dockerspawner, with the hub token in a file instead of the environment of the container.

    ``docker inspect`` shows the environment to everyone who may ask the daemon, and the daemon stores it. The file,
    mode 0400, lies in an anonymous volume, which ends with the container: it is written through the daemon, so that the
    hub may run in a container itself or on another machine, and the file system of the server may be read-only. Kernels
    obtain their role token with the hub token.
    """

    remove = Bool(True, help="Remove stopped containers: one that is started again has its old token.").tag(config=True)

    server_uid = Integer(
        1000, min=0, help="The numeric account under which the image runs the server, which may read the token."
    ).tag(config=True)

    @property
    def volume_mount_points(self) -> list[str]:
        """The paths of all volumes; the one without a source is anonymous."""
        return [*super().volume_mount_points, FOLDER]

    def get_env(self) -> dict[str, str]:
        """Return the environment of the container, without tokens."""
        environment: dict[str, str] = super().get_env()
        remove_tokens(environment)
        return environment

    async def get_command(self) -> list[str]:
        """Return the command of the server, after a shell that reads the token."""
        return ["sh", "-c", _WRAPPER, "sh", *await super().get_command()]

    async def create_object(self) -> dict[str, Any]:
        """Create the container, and write its token before it starts."""
        container: dict[str, Any] = await super().create_object()
        await self.docker("put_archive", container[self.object_id_key], FOLDER, self._token_archive())
        return container

    def _token_archive(self) -> bytes:
        content = self.api_token.encode("ascii")
        file = tarfile.TarInfo(HUB_TOKEN_FILE.rpartition("/")[2])
        file.size, file.mode, file.uid, file.gid = len(content), 0o400, self.server_uid, self.server_uid
        archive = io.BytesIO()
        with tarfile.open(fileobj=archive, mode="w") as tar:
            tar.addfile(file, io.BytesIO(content))
        return archive.getvalue()
