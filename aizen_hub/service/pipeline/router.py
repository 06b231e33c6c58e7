"""How addresses are found: at once, whatever the table holds."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aiohttp.web import BaseRequest, StreamResponse

from aizen_hub.service.http.route import Route
from aizen_hub.service.pipeline.endpoint import Endpoint

if TYPE_CHECKING:
    from aizen_hub.service.context import House


@dataclass(frozen=True, slots=True)
class Address:
    """One address on one side of the proxy, with what it does by method; without methods there is nothing."""

    routes: Mapping[str, Route]
    proxied: bool = False


NOWHERE = Address({})


class Intake:
    """Gives each request its `Endpoint`.

    Parameters
    ----------
    house : House
    addresses : mapping of str to Address
        By path, with ``{members}``. Those without members are found by one look-up, the others are tried in order.
    note : callable
        Gets each endpoint that has answered, for figures and logs.
    """

    def __init__(self, house: House, addresses: Mapping[str, Address], note: Callable[[Endpoint], None]) -> None:
        self.house, self.note = house, note
        self._fixed = {path: address for path, address in addresses.items() if "{" not in path}
        self._patterns = [(re.compile(_pattern(path)), one) for path, one in addresses.items() if "{" in path]

    def find(self, path: str) -> tuple[Address, Sequence[str]]:
        """Return the address of a path, and its members as they were sent."""
        fixed = self._fixed.get(path)
        if fixed is not None:
            return fixed, ()
        for pattern, address in self._patterns:
            found = pattern.fullmatch(path)
            if found is not None:
                return address, found.groups()
        return NOWHERE, ()

    async def serve(self, request: BaseRequest) -> StreamResponse:
        """Answer one request, whatever happens."""
        return await Endpoint(self, request).answer()


def _pattern(path: str) -> str:
    return "/".join("([^/]+)" if part.startswith("{") else re.escape(part) for part in path.split("/"))
