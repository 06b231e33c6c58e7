"""Reports of ended jobs to the service, with the core's own credential, until the service acknowledges them."""

from __future__ import annotations

import asyncio
import json
import logging
from pathlib import Path

from storage import Storage
from tornado.httpclient import AsyncHTTPClient, HTTPClientError, HTTPError

log = logging.getLogger("sample-core")
_FIRST_PAUSE_SECONDS, _MAX_PAUSE_SECONDS = 1.0, 60.0
_ACKNOWLEDGED = (200, 201, 202, 204, 404, 409, 410)  # the last three: repeating the report would not help


class Reporter:
    """Sends the ends of jobs in order; those that could not be sent are sent again, also after a restart.

    Parameters
    ----------
    credential_file : Path or None
        Read for each report, so that the credential can be changed while the core runs. None: nothing is reported.
    """

    def __init__(self, storage: Storage, issuer: str, credential_file: Path | None) -> None:
        self._storage, self._issuer, self._credential_file = storage, issuer.rstrip("/"), credential_file
        self._woken = asyncio.Event()
        self._woken.set()

    def wake(self, id: str) -> None:
        self._woken.set()

    async def run(self) -> None:
        if self._credential_file is None:
            return
        pause = _FIRST_PAUSE_SECONDS
        while True:
            await self._woken.wait()
            self._woken.clear()
            try:
                for job in self._storage.unreported():
                    await self._report(job["id"], job["state"], job["message"], self._credential_file)
                pause = _FIRST_PAUSE_SECONDS
            except (HTTPError, OSError, ValueError) as error:
                log.warning(
                    "the service did not accept a report (%s); next attempt in %g s", type(error).__name__, pause
                )
                await asyncio.sleep(pause)
                pause = min(pause * 2, _MAX_PAUSE_SECONDS)
                self._woken.set()

    async def _report(self, id: str, state: str, message: str, credential_file: Path) -> None:
        credential = await asyncio.to_thread(credential_file.read_text, encoding="ascii")
        try:
            await AsyncHTTPClient().fetch(
                f"{self._issuer}/api/v1/jobs/{id}/events",
                method="POST",
                headers={
                    "Authorization": f"Bearer {credential.strip()}",
                    "Content-Type": "application/json",
                },
                body=json.dumps({"event": "end", "state": state, "message": message}),
                follow_redirects=False,
                connect_timeout=2,
                request_timeout=5,
            )
        except HTTPClientError as error:
            if error.code not in _ACKNOWLEDGED:
                raise
        self._storage.reported(id)
