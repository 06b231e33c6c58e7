"""The decision itself, in process, beside two policy engines that are given the same facts and the same questions.

All three answer from facts already in memory, each in the fastest form that its own documentation offers, and every
answer is compared before anything is measured.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from aizen_hub.catalogs.catalog import Catalog
from aizen_hub.rbac.decision import AuthorizationRequest
from aizen_hub.rbac.engine import decide
from aizen_hub.rbac.identity import Identity
from aizen_hub.rbac.permission import Permission
from aizen_hub.store.sql_store import Store
from tests.benchmarks import install
from tests.benchmarks.figure import Figure
from tests.benchmarks.install import LARGE, MIDDLE, ROLES, SMALL, Size

Case = tuple[int, str, Permission]
CASES = 600
PEOPLE = 150
SECONDS = 0.5
T = TypeVar("T")


def measure(folder: Path, *, large: Size = LARGE) -> Iterator[Figure]:
    """Yield the figures, for questions that are allowed and for those that are denied.

    ``folder`` keeps the stores; the large one is used by other benchmarks. A denial of ours comes with its whole reason
    and the least role that would do, which the other engines do not give.
    """
    catalog = install.catalog()
    times = {}
    for size in dict.fromkeys((SMALL, MIDDLE, large)):
        store = Store.open(install.build(folder / str(size.assignments), size), catalog)
        try:
            times[size] = _measure_ours(store, size, make_cases(size, catalog))
        finally:
            store.close()
    asked = make_cases(MIDDLE, catalog)
    expected = _expected(MIDDLE, catalog, asked)
    others = {
        ("cedarpy", "at least 50"): _measure_cedar(MIDDLE, catalog, asked, expected),
        ("casbin", "at least 80"): _measure_casbin(MIDDLE, catalog, asked, expected),
    }
    for index, kind in enumerate(("allowed", "denied")):
        small, ours = f"decide, {kind}, {SMALL.assignments:,} assignments", times[large][index]
        yield Figure(f"decide, {kind}, {large.assignments:,} assignments", ours * 1e6, "µs")
        yield Figure(small, times[SMALL][index] * 1e6, "µs")
        yield Figure(f"decide, {kind}, large to small store", ours / times[SMALL][index], "x", "at most 1.3", small)
        for (name, target), seconds in others.items():
            other = f"{name}, {kind}, {MIDDLE.assignments:,} assignments"
            yield Figure(other, seconds[index] * 1e6, "µs")
            yield Figure(f"decide, {kind}, faster than {name}", seconds[index] / ours, "x", target, other)


def make_cases(size: Size, catalog: Catalog) -> list[Case]:
    """Return questions about people and projects of a store: where they hold a role, and where they do not."""
    chance = random.Random(1)
    permissions = sorted({entry.permission for entry in catalog.commands.values() if entry.permission is not None})
    out: list[Case] = []
    people = [chance.randrange(1, size.users + 1) for _ in range(min(PEOPLE, size.users))]
    while len(out) < CASES:
        user = chance.choice(people)
        project = (
            chance.choice(list(size.held(user)))[0] if chance.random() < 0.8 else f"p{chance.randrange(size.projects)}"
        )
        out.append((user, project, chance.choice(permissions)))
    return out


def _expected(size: Size, catalog: Catalog, asked: Sequence[Case]) -> list[bool]:
    """The answers by the plainest possible reading of the facts."""
    return [
        any(
            project == where
            and any(held.covers(permission) for held in catalog.roles[role].permissions | catalog.member_permissions)
            for where, role in size.held(user)
        )
        for user, project, permission in asked
    ]


def _measure_ours(store: Store, size: Size, asked: Sequence[Case]) -> tuple[float, float]:
    now = datetime.now(UTC)
    with store.read() as tx:
        rights = {user: tx.rights(Identity.user(f"u{user}")) for user, _, _ in asked}
    expected = _expected(size, store.catalog, asked)
    cases = [(rights[user], AuthorizationRequest(permission, project)) for user, project, permission in asked]
    return _times("decide", expected, cases, lambda case: decide(case[0], case[1], now), lambda answer: answer.allowed)


def _measure_cedar(size: Size, catalog: Catalog, asked: Sequence[Case], expected: list[bool]) -> tuple[float, float]:
    import cedarpy

    actions = sorted({permission for _, _, permission in asked})
    gives = {role: catalog.roles[role].permissions | catalog.member_permissions for role in ROLES}
    policies = "\n".join(
        f'permit(principal, action in Action::"{role}", resource) when {{ principal in resource.{role} }};'
        for role in ROLES
    )
    entities: list[dict[str, object]] = [
        {"uid": {"type": "Action", "id": role}, "attrs": {}, "parents": []} for role in ROLES
    ]
    entities += [
        {
            "uid": {"type": "Action", "id": str(action)},
            "attrs": {},
            "parents": [
                {"type": "Action", "id": role} for role in ROLES if any(held.covers(action) for held in gives[role])
            ],
        }
        for action in actions
    ]
    for number in range(size.projects):
        members = {role: {"__entity": {"type": "Holders", "id": f"p{number}/{role}"}} for role in ROLES}
        entities.append({"uid": {"type": "Project", "id": f"p{number}"}, "attrs": members, "parents": []})
        entities += [
            {"uid": {"type": "Holders", "id": f"p{number}/{role}"}, "attrs": {}, "parents": []} for role in ROLES
        ]
    entities += [
        {
            "uid": {"type": "User", "id": f"u{user}"},
            "attrs": {},
            "parents": [{"type": "Holders", "id": f"{project}/{role}"} for project, role in size.held(user)],
        }
        for user in range(1, size.users + 1)
    ]
    policy_set = cedarpy.PolicySet.from_str(policies)
    graph = cedarpy.Entities.from_json_str(json.dumps(entities))
    cases = [
        {
            "principal": {"type": "User", "id": f"u{user}"},
            "action": {"type": "Action", "id": str(permission)},
            "resource": {"type": "Project", "id": project},
            "context": {},
        }
        for user, project, permission in asked
    ]
    return _times(
        "cedarpy",
        expected,
        cases,
        lambda case: cedarpy.is_authorized(case, policy_set, graph),
        lambda answer: answer.allowed,
    )


MODEL = """
[request_definition]
r = sub, dom, act
[policy_definition]
p = sub, act
[role_definition]
g = _, _, _
[policy_effect]
e = some(where (p.eft == allow))
[matchers]
m = r.act == p.act && g(r.sub, p.sub, r.dom)
"""


def _measure_casbin(size: Size, catalog: Catalog, asked: Sequence[Case], expected: list[bool]) -> tuple[float, float]:
    import casbin

    model = casbin.Model()
    model.load_model_from_text(MODEL)
    enforcer = casbin.Enforcer(model)
    actions = sorted({permission for _, _, permission in asked})
    enforcer.add_policies(
        [
            [role, str(action)]
            for role in ROLES
            for action in actions
            if any(held.covers(action) for held in catalog.roles[role].permissions | catalog.member_permissions)
        ]
    )
    enforcer.add_named_grouping_policies(
        "g", [[f"u{user}", role, project] for user in range(1, size.users + 1) for project, role in size.held(user)]
    )
    cases = [(f"u{user}", project, str(permission)) for user, project, permission in asked]
    return _times("casbin", expected, cases, lambda case: enforcer.enforce(*case), bool)


def _times(
    name: str, expected: list[bool], cases: Sequence[T], ask: Callable[[T], Any], allowed: Callable[[Any], bool]
) -> tuple[float, float]:
    """Return seconds per allowed and per denied question, after the answers were compared with the facts.

    The best round counts, since other work on the machine only ever adds.
    """
    found = [allowed(ask(case)) for case in cases]
    if found != expected:
        wrong = sum(one != other for one, other in zip(found, expected, strict=True))
        raise RuntimeError(f"{name} answers {wrong} of {len(expected)} questions otherwise than the facts say")
    if not 0.2 < sum(expected) / len(expected) < 0.8:
        raise RuntimeError("the questions are nearly all allowed or nearly all denied")
    out = []
    for wanted in (True, False):
        chosen = [case for case, answer in zip(cases, expected, strict=True) if answer is wanted]
        best, ends = float("inf"), time.perf_counter() + SECONDS
        while time.perf_counter() < ends:
            started = time.perf_counter()
            for case in chosen:
                ask(case)
            best = min(best, time.perf_counter() - started)
        out.append(best / len(chosen))
    return out[0], out[1]
