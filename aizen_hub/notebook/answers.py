"""Answers to questions in a cell, from the service."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlencode

from aizen_hub.notebook.client import NotebookClient
from aizen_hub.notebook.command_runner import CommandRunner
from aizen_hub.notebook.display.answer import Answer
from aizen_hub.notebook.display.refusal import Refusal
from aizen_hub.notebook.display.renderable import Notice, Renderable
from aizen_hub.notebook.display.result import CommandResult, as_list
from aizen_hub.notebook.display.tables import format_cell
from aizen_hub.notebook.errors import AizenError, ProblemResponseError
from aizen_hub.notebook.local_days import end_of_day
from aizen_hub.notebook.question import Question, QuestionKind
from aizen_hub.notebook.transport import RESPONSE_SECONDS

_QUERIES = "/api/v1/access-queries"


def answer_question(question: Question, runner: CommandRunner) -> Renderable:
    """Return the answer; a refusal to answer is returned, not raised."""
    try:
        return _ANSWERS[question.kind](question, runner)
    except ProblemResponseError as error:
        runner.last_refusal = Refusal(error.document, question.command)
        return runner.last_refusal
    except AizenError as error:
        return Notice(str(error))


def show_session(runner: CommandRunner) -> Renderable:
    """Return who the user is, and until when each role holds."""
    try:
        session = runner.client.get_session()
    except AizenError as error:
        return Notice(str(error))
    project = f"in project `{session['project']}`" if session.get("project") else "without a project"
    minutes = runner.client.token.seconds_left / 60
    roles = [role for role in as_list(session.get("roles")) if isinstance(role, Mapping)]
    message = f"{session.get('user')} {project}; role token valid for {minutes:.0f} min, renewed automatically"
    if session.get("ends_at"):
        message += f"; this session stops at {format_cell(session['ends_at'])}: {session.get('ends_because')}"
    content = {
        "message": message,
        "columns": ["role", "scope", "until", "from", "state"],
        "rows": [[role.get(name) for name in ("role", "scope", "ends", "source", "state")] for role in roles],
        "data": session,
    }
    return CommandResult(content, command="whoami")


def _can_i(question: Question, runner: CommandRunner) -> Renderable:
    answer = _ask(question, runner.client)
    return Answer(answer, question.command)


def _why(question: Question, runner: CommandRunner) -> Renderable:
    if not question.command:
        refusal = runner.last_refusal
        if refusal is None:
            return Notice("nothing was refused in this notebook yet", "`why <command>` explains any command")
        if not refusal.command or not refusal.is_denial:
            return refusal
        question = Question(QuestionKind.WHY, refusal.command, question.project)
    answer = _ask(question, runner.client)
    permission, scope = answer.get("permission"), answer.get("scope")
    explanation: Mapping[str, Any] = {}
    if isinstance(permission, str) and isinstance(scope, str):
        explained = runner.client.post_json(f"{_QUERIES}/why", {"permission": permission, "scope": scope})
        explanation = explained.get("data") or {}
    return Answer(answer, question.command, explanation)


def _who_can(question: Question, runner: CommandRunner) -> Renderable:
    answer = _ask(question, runner.client)
    permission, scope = answer.get("permission"), answer.get("scope")
    if not isinstance(permission, str):
        return Notice(f"every registered user may `{question.command}`")
    if not isinstance(scope, str):
        return Answer(answer, question.command)
    result = runner.client.post_json(f"{_QUERIES}/who-can", {"permission": permission, "scope": scope})
    return CommandResult(result, command=f"who can {question.command}")


def _what_can_i_do(question: Question, runner: CommandRunner) -> Renderable:
    query = "" if question.project is None else f"?{urlencode({'project': question.project})}"
    document = runner.client.request_json(f"/api/v1/session/commands{query}", RESPONSE_SECONDS)
    verbs: dict[str, list[str]] = {}
    for command in as_list(document.get("commands")):
        verbs.setdefault(str(command.get("noun") or command.get("verb")), []).append(str(command.get("verb")))
    project = document.get("project")
    where = f"in `{project}`" if project else "without a project"
    count = sum(map(len, verbs.values()))
    message = f"{where} you may give {count} of {document.get('total')} commands; `start training?` explains one"
    rows = [[noun, ", ".join(sorted(words))] for noun, words in sorted(verbs.items())]
    content = {"message": message, "columns": ["object", "commands"], "rows": rows, "data": document}
    return CommandResult(content, command="what can i do")


def _help(question: Question, runner: CommandRunner) -> Renderable:
    return Answer(_ask(question, runner.client), question.command, is_help=True)


def _request(question: Question, runner: CommandRunner) -> Renderable:
    client = runner.client
    if question.project is not None:
        scope = question.project
    elif question.role in client.get_catalog().system_roles:
        scope = "system"
    else:
        scope = client.get_session().get("project") or "system"
    body: dict[str, Any] = {"role": question.role, "scope": scope, "reason": question.reason}
    if question.lasts:
        body["duration"] = question.lasts
    if question.until:
        end = end_of_day(question.until)
        if end is None:
            return Notice(f"`{question.until}` is not a day", "write a day such as 2027-01-31, or `for 4h`")
        body["until"] = end
    return CommandResult(client.post_json("/api/v1/requests", body), command=f"request {question.role}")


def _ask(question: Question, client: NotebookClient) -> dict[str, Any]:
    if question.is_permission:
        return _ask_about_permission(question, client)
    body: dict[str, Any] = {"line": question.command}
    if question.project is not None:
        body["project"] = question.project
    return client.post_json(f"{_QUERIES}/command", body)


def _ask_about_permission(question: Question, client: NotebookClient) -> dict[str, Any]:
    scope = question.project or client.get_session().get("project") or "system"
    explained = client.post_json(f"{_QUERIES}/why", {"permission": question.command, "scope": scope})
    data = explained.get("data") or {}
    answer = {name: data.get(name) for name in ("permission", "scope", "allowed", "sentence", "who_can_grant")}
    return answer | {"role": data.get("least_role")}


_ANSWERS: Mapping[QuestionKind, Callable[[Question, CommandRunner], Renderable]] = {
    QuestionKind.CAN: _can_i,
    QuestionKind.WHO: _who_can,
    QuestionKind.WHY: _why,
    QuestionKind.WHAT: _what_can_i_do,
    QuestionKind.REQUEST: _request,
    QuestionKind.HELP: _help,
}
