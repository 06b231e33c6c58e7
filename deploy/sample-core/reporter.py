"""Tells the service how jobs ended, with the core's own credential, until the service has heard it."""

from __future__ import annotations

import asyncio
import json
import logging
from pathlib import Path

from archive import Archive
from tornado.httpclient import AsyncHTTPClient, HTTPClientError, HTTPError

log = logging.getLogger("sample-core")
_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 60.0
_HEARD = (200, 201, 202, 204, 404, 409, 410)  # the last three: the service knows better, asking again would not help


class Reporter:
    """Sends ends in their order; what could not be sent stays in the archive and is tried again, also after a restart.

    Parameters
    ----------
    credential_file : Path or None
        Read anew for each report, so that the credential can be changed while the core runs. None: nothing is reported.
    """

    def __init__(self, archive: Archive, issuer: str, credential_file: Path | None) -> None:
        self._archive, self._issuer, self._credential_file = archive, issuer.rstrip("/"), credential_file
        self._woken = asyncio.Event()
        self._woken.set()

    def wake(self, id: str) -> None:
        self._woken.set()

    async def run(self) -> None:
        if self._credential_file is None:
            return
        pause = _FIRST_PAUSE
        while True:
            await self._woken.wait()
            self._woken.clear()
            try:
                for job in self._archive.unreported():
                    await self._report(job["id"], job["state"], job["message"], self._credential_file)
                pause = _FIRST_PAUSE
            except (HTTPError, OSError, ValueError) as error:
                log.warning("the service did not take a report (%s), again in %g s", type(error).__name__, pause)
                await asyncio.sleep(pause)
                pause = min(pause * 2, _LONGEST_PAUSE)
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
            if error.code not in _HEARD:
                raise
        self._archive.reported(id)
