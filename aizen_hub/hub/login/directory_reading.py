"""Endpoint by which the service has people of a directory read again, before their next request causes it."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aizen_hub.api_models.directory_reading import DirectoryPerson, DirectoryReadingRequest, DirectoryReadingResponse
from aizen_hub.api_models.schema import read_json
from aizen_hub.client.service_client import ServiceClient
from aizen_hub.hub.login.login_report import report_reading
from aizen_hub.hub.login.provider import AccessDeniedError, Provider, ProviderUnreachableError, printable
from aizen_hub.hub.service_request_handler import ServiceRequestHandler
from aizen_hub.problems import NotAuthenticated, NotFound, Problem, Unavailable
from aizen_hub.settings import Settings
from aizen_hub.validation import strict_json

log = logging.getLogger("aizen_hub.login")

MAX_BODY = 64 << 10


def reading_handler(settings: Settings, providers: Mapping[str, Provider], service: ServiceClient) -> tuple[Any, ...]:
    """Return the handler for the directories among the providers, for `Authenticator.get_handlers`."""
    names = [provider.name for provider in settings.providers if provider.kind == "ldap"]
    directories = {name: providers[name] for name in names}
    options = {"secret_path": settings.hub_secret_path, "directories": directories, "service": service}
    return (r"/api/aizen/read-people", DirectoryReadingHandler, options)


class DirectoryReadingHandler(ServiceRequestHandler):
    """``POST /hub/api/aizen/read-people`` with a provider and people, and the hub secret as bearer.

    Reads each person as a refresh does, and reports them to the service. Only the hub has the credentials of the
    directories. Sessions at the hub end at the person's next request, as after any refresh.
    """

    def initialize(self, secret_path: Path, directories: Mapping[str, Provider], service: ServiceClient) -> None:
        self.secret_path = secret_path
        self._directories, self._service = directories, service

    async def post(self) -> None:
        try:
            self.authenticate()
            strict_json.loads(self.request.body, max_bytes=MAX_BODY)
            request = read_json(DirectoryReadingRequest, self.request.body)
            directory = self._directories.get(request.provider)
            if directory is None:
                raise NotFound("the hub has no such directory")
            self.respond(200, "application/json", (await self._read(directory, request)).model_dump())
        except Problem as problem:
            self.respond(problem.status, "application/problem+json", problem.to_json())

    async def _read(self, directory: Provider, request: DirectoryReadingRequest) -> DirectoryReadingResponse:
        counts: Counter[str] = Counter()
        names: dict[str, list[str]] = {"refused": [], "unreported": []}
        stopped = None
        for person in request.people:
            try:
                outcome = await self._read_person(directory, person)
            except ProviderUnreachableError:
                outcome = "unreachable"
            except Problem as problem:
                log.error("report of `%s`, who was read again: %s", printable(person.name), problem.detail)
                outcome = _outcome_of(problem)
            if outcome in names:
                names[outcome].append(person.name)
            elif outcome in ("read", "gone"):
                counts[outcome] += 1
            else:
                stopped = outcome
                break
        return DirectoryReadingResponse.model_validate({**counts, **names, "stopped": stopped})

    async def _read_person(self, directory: Provider, person: DirectoryPerson) -> str:
        try:
            identity = await directory.refresh(person.subject, person.name)
        except AccessDeniedError as error:
            log.warning("`%s` may not sign in any more: %s", printable(person.name), error)
            return "refused"
        if identity is not None and identity.answered_in is None:
            return "no-lookup-account"
        await report_reading(self._service, directory.name, person.subject, identity)
        return "gone" if identity is None else "read"


def _outcome_of(problem: Problem) -> str:
    """Return the outcome of a report that the service did not take: about this person, or about each of them."""
    if isinstance(problem, Unavailable):
        return "service-unavailable"
    return "service-refused" if isinstance(problem, NotAuthenticated) else "unreported"
