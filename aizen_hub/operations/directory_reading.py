"""The operation that has the hub read people of a directory again, all or those of a group, some people at a time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aizen_hub.api_models.directory_reading import DirectoryPerson, DirectoryReadingResponse
from aizen_hub.operations.control import OperationControl
from aizen_hub.operations.kind import OperationKind
from aizen_hub.operations.operation import OperationCancelled, OperationInterrupted
from aizen_hub.problems import Conflict, Problem, Unavailable

KIND = "directory-reading"
BATCH = 3
"""So few that a slow directory answers for all of them within the deadline of one request."""
MAX_GONE = 20
"""A directory that has lost so many people since it was read last may have lost its data, or its settings are wrong."""
MAX_UNREPORTED = 20
"""A service that refuses the reports of so many people refuses those of all, such as for the version of the hub."""
MAX_NAMES = 50
"""Names of each kind in the result."""

_STOPS: Mapping[str, tuple[type[Problem], str, str]] = {
    "no-lookup-account": (
        Conflict,
        "{provider} is read with each user's own password only",
        "set `lookup_dn` in the configuration of this provider",
    ),
    "unreachable": (Unavailable, "{provider} does not answer; {read}", "read it again later"),
    "service-unavailable": (Unavailable, "this service did not answer the hub; {read}", "read it again later"),
    "service-refused": (
        Conflict,
        "this service does not accept the hub; {read}",
        "see the log of the hub, whose secret must be that of this service",
    ),
}


@dataclass(frozen=True, slots=True)
class DirectoryReading:
    """What to read.

    Attributes
    ----------
    people : sequence of DirectoryPerson
        Those whose departure would be recorded.
    others : sequence of DirectoryPerson
        Those whose departure is recorded already, or would not be, since the login is a linked one: read last, and not
        counted for `MAX_GONE`.
    read_batch : callable
        Has the hub read some people; blocks, and raises Unavailable.
    """

    provider: str
    people: Sequence[DirectoryPerson]
    others: Sequence[DirectoryPerson]
    read_batch: Callable[[Sequence[DirectoryPerson]], DirectoryReadingResponse]


def read_directory(control: OperationControl, request: DirectoryReading) -> Mapping[str, Any]:
    """Read the people. Each of them is committed separately; an early end leaves the others as they were."""
    counts: Counter[str] = Counter()
    names: dict[str, list[str]] = {"refused": [], "unreported": []}
    new_gone = 0
    total = len(request.people) + len(request.others)
    batches = [
        (people[start : start + BATCH], people is request.people)
        for people in (request.people, request.others)
        for start in range(0, len(people), BATCH)
    ]
    for batch, is_counted in batches:
        try:
            control.report("reading people", counts.total(), total)
            control.check()
        except (OperationCancelled, OperationInterrupted) as error:
            raise type(error)(
                f"the reading ended early; {counts.total()} of {total} people were read before, and count",
                remedy="read the directory again for the others",
            ) from None
        answer = request.read_batch(batch)
        new_gone += answer.gone if is_counted else 0
        counts += Counter(read=answer.read, gone=answer.gone)
        for kind, found in (("refused", answer.refused), ("unreported", answer.unreported)):
            counts[kind] += len(found)
            names[kind] += found
        read = f"{counts.total()} of {total} people were read before"
        if answer.stopped is not None:
            problem, detail, remedy = _STOPS[answer.stopped]
            raise problem(detail.format(provider=request.provider, read=read), remedy=remedy)
        if new_gone >= MAX_GONE:
            raise Conflict(
                f"{request.provider} does not know {new_gone} people any more, so the reading ended; {read}",
                remedy="check the directory and its search base; the people are listed as having left it",
            )
        if counts["unreported"] >= MAX_UNREPORTED:
            raise Conflict(
                f"this service refused the reports of {counts['unreported']} people, so the reading ended; {read}",
                remedy="see the log of the hub, whose version must be that of this service",
            )
    return {
        "total": total,
        **{name: counts[name] for name in ("read", "gone", "refused", "unreported")},
        "names": {kind: sorted(found)[:MAX_NAMES] for kind, found in names.items()},
    }


KINDS: tuple[OperationKind, ...] = (OperationKind(KIND, read_directory, keeps_batches=True),)
