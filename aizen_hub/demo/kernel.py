"""Kernel of a user server, used through the websocket of a notebook."""

from __future__ import annotations

import json
import re
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

from aizen_hub.demo.browser import Browser, BrowserError


@dataclass
class CellResult:
    """The output of one cell.

    Attributes
    ----------
    status : str
        ``ok`` or ``error`` from the kernel, ``timeout`` if the cell did not finish.
    stream : str
        The printed text.
    data : list of dict
        Each displayed object and result, by media type.
    error : str
        Name and message of the exception, if there is one.
    """

    status: str = "timeout"
    stream: str = ""
    data: list[dict[str, Any]] = field(default_factory=list)
    error: str = ""

    @property
    def text(self) -> str:
        """All output as plain text."""
        outputs = [str(bundle["text/plain"]) for bundle in self.data if "text/plain" in bundle]
        return "\n".join(part for part in (self.stream, *outputs, self.error) if part)


class Kernel:
    """A running kernel; a context manager, since the connection stays open between cells."""

    def __init__(self, browser: Browser, home: str) -> None:
        import websocket

        self._browser, self._home = browser, home
        page = browser.api("POST", f"{home}api/kernels", {"name": "python3"}, at=home)
        if page.status != 201:
            raise BrowserError(f"no kernel was started: status {page.status}: {page.text[:200]}")
        self.id: str = page.json()["id"]
        address = f"{browser.url}{home}api/kernels/{self.id}/channels?session_id={uuid.uuid4().hex}"
        self._socket = websocket.create_connection(
            re.sub(r"^http", "ws", address), timeout=20, cookie=browser.cookies_for(address), origin=browser.url
        )

    def __enter__(self) -> Kernel:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def execute(self, code: str, *, seconds: float = 60.0) -> CellResult:
        """Run a cell, with history, and collect its output until the kernel is idle."""
        import websocket

        result = CellResult()
        content = {"code": code, "silent": False, "store_history": True, "allow_stdin": False, "stop_on_error": True}
        message_id = self._send("execute_request", content)
        deadline = time.monotonic() + seconds
        received: set[str] = set()
        while received != {"reply", "idle"}:
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                return result
            self._socket.settimeout(remaining)
            try:
                message = json.loads(self._socket.recv())
            except websocket.WebSocketTimeoutException:
                return result
            except (websocket.WebSocketException, OSError, ValueError) as error:
                result.status, result.error = "error", f"the connection to the kernel ended: {error}"
                return result
            if message["parent_header"].get("msg_id") == message_id:
                received |= self._collect(result, message)
        return result

    def _send(self, kind: str, content: Mapping[str, Any]) -> str:
        message_id = uuid.uuid4().hex
        header = {"msg_id": message_id, "msg_type": kind, "username": "", "session": self.id, "version": "5.3"}
        self._socket.send(
            json.dumps({"channel": "shell", "header": header, "parent_header": {}, "metadata": {}, "content": content})
        )
        return message_id

    def close(self) -> None:
        """Close the connection and shut down the kernel."""
        self._socket.close()
        self._browser.api("DELETE", f"{self._home}api/kernels/{self.id}", at=self._home)

    def _collect(self, result: CellResult, message: Mapping[str, Any]) -> set[str]:
        kind, content = message["msg_type"], message["content"]
        if kind == "stream":
            result.stream += content["text"]
        elif kind in ("display_data", "execute_result"):
            result.data.append(content["data"])
        elif kind == "update_display_data":
            # A progress bar updates one display; only its last state is kept.
            if result.data:
                result.data[-1] = content["data"]
            else:
                result.data.append(content["data"])
        elif kind == "error":
            result.error = f"{content['ename']}: {content['evalue']}"
        elif kind == "execute_reply":
            result.status = content["status"]
            return {"reply"}
        elif kind == "status" and content["execution_state"] == "idle":
            return {"idle"}
        return set()
