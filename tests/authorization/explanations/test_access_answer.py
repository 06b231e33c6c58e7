"""The answer to *why*: the same verdict as the engine, every path with its reason, and who may read it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from aizen_hub.accounts.groups import management, membership
from aizen_hub.accounts.sessions import locks
from aizen_hub.authorization.explanations.access_answer import (
    AccessAnswer,
    AccessQuestion,
    answer_question,
    parse_action,
    scope_of_action,
)
from aizen_hub.authorization.queries import access_queries
from aizen_hub.authorization.queries.hypothetical_state import HypotheticalState
from aizen_hub.problems import BadInput, Denied, NotFound, Problem
from aizen_hub.rbac.assignment import Interval, LockTarget
from aizen_hub.rbac.decision import Reason
from aizen_hub.rbac.engine import PathVerdict
from aizen_hub.rbac.identity import Identity
from aizen_hub.rbac.role import SYSTEM
from tests.accounts.harness import OPERATOR, AccountsHarness

EMMA, RITA, TIM = (Identity.user(name) for name in ("emma", "rita", "tim"))


def ask(
    sandbox: AccountsHarness,
    reader: str,
    about: Identity,
    do: str = "start training",
    project: str | None = "p1",
    **hypothesis: Any,
) -> AccessAnswer:
    action = parse_action(sandbox.catalog, do)
    question = AccessQuestion(about, action, scope_of_action(action, project), HypotheticalState(**hypothesis))
    answer: AccessAnswer = sandbox.execute(reader, answer_question, question)
    return answer


@pytest.mark.parametrize(
    ("text", "words", "project", "scope"),
    [
        ("start training", "start training", "p1", "p1"),
        ("  start   training churn ", "start training", "p1", "p1"),
        ("execute:training", "execute:training", "p1", "p1"),
        ("execute:training", "execute:training", None, SYSTEM),
        ("create project new", "create project", "p1", SYSTEM),
    ],
)
def test_a_question_names_a_command_or_a_permission(
    sandbox: AccountsHarness, text: str, words: str, project: str | None, scope: str
) -> None:
    action = parse_action(sandbox.catalog, text)
    assert AccessQuestion(EMMA, action, scope).words == words
    assert scope_of_action(action, project) == scope


@pytest.mark.parametrize(
    ("text", "project"), [("dance wildly", "p1"), ("", "p1"), ("a:b:c", "p1"), ("start training", None)]
)
def test_another_question_is_refused(sandbox: AccountsHarness, text: str, project: str | None) -> None:
    with pytest.raises(BadInput):
        scope_of_action(parse_action(sandbox.catalog, text), project)


@pytest.mark.proves("R61", "R80")
@pytest.mark.parametrize("do", ["start training", "list trainings", "delete training", "create project"])
@pytest.mark.parametrize("name", ["emma", "rita", "tim", "paul", "carl"])
def test_the_verdict_is_the_engines(sandbox: AccountsHarness, name: str, do: str) -> None:
    identity = Identity.user(name)
    answer = ask(sandbox, "admin", identity, do)
    assert answer.question.permission is not None
    decision = sandbox.execute(
        OPERATOR, access_queries.can_i, str(answer.question.permission), answer.question.scope, identity
    )
    assert answer.decision == decision
    assert (answer.winning is not None) == decision.allowed
    assert bool(answer.ways) != decision.allowed


def test_every_path_says_where_it_comes_from_and_why_it_fails(sandbox: AccountsHarness) -> None:
    now = sandbox.now()
    sandbox.grant("PROJECT_EXECUTOR", "p2", "rita", reason="helps out")
    sandbox.grant("PROJECT_EXECUTOR", "p1", "rita", interval=Interval(now - timedelta(9), now - timedelta(1)))
    sandbox.grant("PROJECT_ADMIN", "p1", "rita", interval=Interval(now + timedelta(1), None))
    answer = ask(sandbox, "admin", RITA)
    verdicts = {(tried.path.held_role.role, tried.path.held_role.scope): tried for tried in answer.others}
    assert {key: tried.path.verdict for key, tried in verdicts.items()} == {
        ("PROJECT_READER", "p1"): PathVerdict.NOT_INCLUDED,
        ("PROJECT_EXECUTOR", "p2"): PathVerdict.OTHER_SCOPE,
        ("PROJECT_EXECUTOR", "p1"): PathVerdict.EXPIRED,
        ("PROJECT_ADMIN", "p1"): PathVerdict.NOT_YET,
    }
    assert verdicts["PROJECT_EXECUTOR", "p2"].reason == "helps out"
    assert verdicts["PROJECT_EXECUTOR", "p2"].granted_by == str(OPERATOR.identity)


@pytest.mark.proves("R72")
def test_paths_in_projects_that_the_reader_may_not_read_are_left_out(sandbox: AccountsHarness) -> None:
    sandbox.grant("PROJECT_EXECUTOR", "p2", "rita")
    scopes = {tried.path.held_role.scope for tried in ask(sandbox, "paul", RITA).others}
    assert scopes == {"p1"}
    assert {tried.path.held_role.scope for tried in ask(sandbox, "rita", RITA).others} == {"p1", "p2"}


@pytest.mark.proves("R72")
@pytest.mark.parametrize(
    ("reader", "about", "project", "more", "problem"),
    [
        ("rita", EMMA, "p1", {}, Denied),
        ("emma", RITA, "p1", {}, Denied),
        ("tim", TIM, "p1", {}, NotFound),
        ("tim", TIM, "nowhere", {}, NotFound),
        ("paul", EMMA, "p2", {}, NotFound),
        ("paul", Identity.user("unknown"), "p1", {}, NotFound),
        ("rita", RITA, "p1", {"groups": ("crew",)}, Denied),
        ("paul", RITA, "p1", {"groups": ("unknown",)}, BadInput),
        ("paul", RITA, "p1", {"assignments": (("NONE", "p1", RITA),)}, BadInput),
    ],
)
def test_who_may_ask_what(
    sandbox: AccountsHarness,
    reader: str,
    about: Identity,
    project: str,
    more: dict[str, Any],
    problem: type[Problem],
) -> None:
    with pytest.raises(problem):
        ask(sandbox, reader, about, project=project, **more)


def test_supposed_roles_groups_and_times_change_the_verdict_and_nothing_else(sandbox: AccountsHarness) -> None:
    sandbox.execute(OPERATOR, management.create_group, "crew")
    sandbox.grant("PROJECT_EXECUTOR", "p1", Identity.group("crew"))
    later = sandbox.now() + timedelta(days=3)
    sandbox.grant("PROJECT_ADMIN", "p1", "rita", interval=Interval(later - timedelta(hours=1), None))
    before = sandbox.state()
    assert not ask(sandbox, "paul", RITA).decision.allowed
    by_role = ask(sandbox, "rita", RITA, assignments=(("PROJECT_EXECUTOR", "p1", RITA),))
    by_group = ask(sandbox, "paul", RITA, groups=("crew",))
    by_time = ask(sandbox, "paul", RITA, at=later)
    assert by_role.decision.allowed
    assert by_group.decision.allowed
    assert by_time.decision.allowed
    assert by_role.question.is_supposed
    assert by_group.winning is not None
    assert by_group.winning.path.held_role.via == (Identity.group("crew"),)
    assert sandbox.state() == before


@pytest.mark.parametrize(("target", "name"), [(LockTarget.IDENTITY, "user:rita"), (LockTarget.PROJECT, "p1")])
def test_a_lock_is_named_and_no_role_is_offered(sandbox: AccountsHarness, target: LockTarget, name: str) -> None:
    sandbox.execute("admin", locks.lock_target, target, name, reason="lost laptop")
    answer = ask(sandbox, "admin", RITA)
    assert answer.decision.reason is Reason.LOCKED
    assert answer.lock is not None
    assert answer.lock.reason == "lost laptop"
    assert not answer.ways


def test_an_archive_is_named_and_no_role_is_offered(sandbox: AccountsHarness) -> None:
    sandbox.execute("admin", locks.lock_target, LockTarget.ARCHIVE, "p1", reason="the study ended")
    answer = ask(sandbox, "admin", RITA)
    assert answer.decision.reason is Reason.ARCHIVED
    assert "archived and can only be read: the study ended" in answer.decision.sentence
    assert answer.lock is not None
    assert answer.lock.target is LockTarget.ARCHIVE
    assert not answer.ways


def test_a_locked_group_on_the_path_is_named(sandbox: AccountsHarness) -> None:
    sandbox.execute(OPERATOR, management.create_group, "crew")
    sandbox.grant("PROJECT_EXECUTOR", "p1", Identity.group("crew"))
    sandbox.execute(OPERATOR, membership.add_member, "crew", RITA)
    sandbox.execute("admin", locks.lock_target, LockTarget.IDENTITY, "group:crew", reason="audit")
    answer = ask(sandbox, "admin", RITA)
    assert answer.lock is not None
    assert answer.lock.name == "group:crew"
    assert answer.ways, "another role would help"


def test_an_impersonated_user_is_told_nothing(sandbox: AccountsHarness) -> None:
    actor = sandbox.actor("rita", acting=Identity.user("admin"))
    question = AccessQuestion(RITA, parse_action(sandbox.catalog, "start training"), "p1")
    with pytest.raises(Denied):
        sandbox.execute(actor, answer_question, question)
