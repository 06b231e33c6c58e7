"""Execution of commands. ``nouns.json`` lists the nouns and their actions."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from job_runner import Event, JobRunner
from storage import Storage

NOUNS: dict[str, dict[str, Any]] = json.loads(Path(__file__).with_name("nouns.json").read_text(encoding="utf-8"))
PLURALS = {noun["plural"]: name for name, noun in NOUNS.items()}
PREPARED = {name: noun["prepared"] for name, noun in NOUNS.items()}
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_MAX_CONFIG = 64 * 1024


class CommandError(Exception):
    """The command cannot be executed; the text is for the user who sent it."""


@dataclass(frozen=True)
class CommandRequest:
    """One command, as the service parsed it."""

    id: str
    command: str
    verb: str
    noun: str
    arguments: Mapping[str, Any]
    files: Mapping[str, str]
    user: str
    project: str | None

    @property
    def name(self) -> str:
        name = self.arguments.get("name")
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise CommandError(f"`{self.verb} {self.noun}` needs a name: letters, digits, `_`, `-` and `.`")
        return name


class CommandExecutor:
    """Executes commands."""

    def __init__(self, storage: Storage, runner: JobRunner) -> None:
        self._storage, self._runner = storage, runner
        self._actions: dict[str, Callable[[CommandRequest, str, str], Awaitable[Event]]] = {
            "configure": self._configure,
            "alter": self._alter,
            "describe": self._describe,
            "exportconfig": self._describe,
            "listconfig": self._listconfig,
            "status": self._status,
            "stop": self._stop,
            "list": self._list,
            "display": self._display,
            "delete": self._delete,
        }

    async def execute(self, command: CommandRequest) -> AsyncGenerator[Event, None]:
        """Yield events; the last one is ``end``."""
        try:
            noun = self._noun(command)
            assert command.project is not None
            self._storage.add_prepared(command.project, PREPARED)
            if command.verb in ("start", "restart"):
                async for event in self._start(command, noun, command.project):
                    yield event
                return
            end = await self._actions[command.verb](command, noun, command.project)
        except CommandError as failure:
            end = {"event": "end", "state": "failed", "result": None, "message": str(failure)}
        self._storage.end_command(command.id, end)
        yield end

    def _noun(self, command: CommandRequest) -> str:
        plural = PLURALS.get(command.noun)
        noun = plural or command.noun
        many = command.verb in ("list", "listconfig")
        if noun not in NOUNS or command.verb not in NOUNS[noun]["actions"] or bool(plural) != many:
            raise CommandError(f"this sample core does not support `{command.verb} {command.noun}`")
        if command.project is None:
            raise CommandError("this command needs a project")
        return noun

    async def _start(self, command: CommandRequest, noun: str, project: str) -> AsyncGenerator[Event, None]:
        name = command.name
        earlier = self._runner.running(project, noun, name)
        if command.verb == "restart":
            for job in earlier:
                await self._runner.stop(job)
        elif earlier:
            raise CommandError(f"{noun} `{name}` is running already: `stop {noun} {name}` or `restart {noun} {name}`")
        if self._runner.is_full:
            raise CommandError("too many jobs are running at this core")
        arguments = self._program_arguments(project, noun, name)
        job = await self._runner.start(command.id, command.user, project, noun, name, arguments)
        async for event in self._runner.follow(job):
            yield event

    def _program_arguments(self, project: str, noun: str, name: str) -> list[str]:
        kind = NOUNS[noun]
        settings = self._settings(project, noun, name)
        numbers = {key: value for key, value in settings.items() if kind["parameters"][key]["kind"] != "name"}
        for other, keys in kind.get("from", {}).items():
            theirs = self._settings(project, other, settings[other])
            numbers |= {key: theirs[key] for key in keys}
        arguments = [kind["program"], *(f"--{key}={value}" for key, value in numbers.items())]
        if needed := kind.get("needs"):
            done = [job for job in self._storage.jobs(project, needed, settings[needed]) if job["state"] == "done"]
            if not done:
                raise CommandError(
                    f"{needed} `{settings[needed]}` is not done yet: `start {needed} {settings[needed]}`"
                )
            arguments.append(f"--model={self._runner.result_file(done[0]['id'])}")
        return arguments

    def _settings(self, project: str, noun: str, name: str) -> dict[str, Any]:
        settings = self._storage.configuration(project, noun, name)
        if settings is None:
            raise CommandError(f"there is no {noun} `{name}` in this project: `configure {noun} {name}`")
        return {key: settings.get(key, parameter["default"]) for key, parameter in NOUNS[noun]["parameters"].items()}

    async def _configure(self, command: CommandRequest, noun: str, project: str) -> Event:
        settings = self._read_settings(command, noun, {})
        self._storage.configure(project, noun, command.name, settings, command.user)
        return _message(f"{noun} `{command.name}` is configured", settings)

    async def _alter(self, command: CommandRequest, noun: str, project: str) -> Event:
        settings = self._read_settings(command, noun, self._settings(project, noun, command.name))
        self._storage.configure(project, noun, command.name, settings, command.user)
        return _message(f"{noun} `{command.name}` is altered", settings)

    def _read_settings(self, command: CommandRequest, noun: str, settings: dict[str, Any]) -> dict[str, Any]:
        given = {key: value for key, value in command.arguments.items() if key not in ("name", "config")}
        if (file := command.arguments.get("config")) is not None:
            given = {**_read_file(str(file), command.files), **given}
        parameters = NOUNS[noun]["parameters"]
        for key, value in given.items():
            if key not in parameters:
                raise CommandError(f"a {noun} has no setting `{key}`; it has {', '.join(parameters)}")
            settings[key] = _parse_setting(key, value, parameters[key])
        return settings

    async def _describe(self, command: CommandRequest, noun: str, project: str) -> Event:
        settings = self._settings(project, noun, command.name)
        return _table(("setting", "value"), [list(item) for item in settings.items()], settings)

    async def _listconfig(self, command: CommandRequest, noun: str, project: str) -> Event:
        rows = [
            [row["name"], row["settings"], row["changed_by"], _format_time(row["changed"])]
            for row in self._storage.configurations(project, noun)
        ]
        return _table((noun, "settings", "changed by", "changed"), rows)

    async def _list(self, command: CommandRequest, noun: str, project: str) -> Event:
        return self._jobs(project, noun, None)

    async def _status(self, command: CommandRequest, noun: str, project: str) -> Event:
        name = command.name if "name" in command.arguments else None
        return self._jobs(project, noun, name)

    def _jobs(self, project: str, noun: str, name: str | None) -> Event:
        jobs = self._storage.jobs(project, noun, name)
        rows = [
            [
                job["name"],
                job["state"],
                None if job["fraction"] is None else round(job["fraction"], 3),
                job["message"],
                job["user"],
                _format_time(job["started"]),
            ]
            for job in jobs
        ]
        data = {"job": jobs[0]["id"], "log": self._storage.log_lines(jobs[0]["id"])} if name and jobs else {}
        return _table((noun, "state", "progress", "message", "started by", "started"), rows, data)

    async def _stop(self, command: CommandRequest, noun: str, project: str) -> Event:
        jobs = self._runner.running(project, noun, command.name)
        if not jobs:
            raise CommandError(f"{noun} `{command.name}` is not running")
        for job in jobs:
            await self._runner.stop(job)
        return _message(f"{noun} `{command.name}` was stopped", {"jobs": [job.id for job in jobs]})

    async def _display(self, command: CommandRequest, noun: str, project: str) -> Event:
        done = [job for job in self._storage.jobs(project, noun, command.name) if job["state"] == "done"]
        if not done:
            raise CommandError(f"{noun} `{command.name}` has not been made yet: `start {noun} {command.name}`")
        result = json.loads(done[0]["result"])
        return _table(("figure", "value"), [[key, json.dumps(value)] for key, value in result.items()], result)

    async def _delete(self, command: CommandRequest, noun: str, project: str) -> Event:
        self._settings(project, noun, command.name)
        if self._runner.running(project, noun, command.name):
            raise CommandError(f"{noun} `{command.name}` is running: `stop {noun} {command.name}` first")
        self._storage.delete(project, noun, command.name)
        return _message(f"{noun} `{command.name}` is deleted")


def _read_file(name: str, files: Mapping[str, str]) -> dict[str, Any]:
    content = files.get(name)
    if content is None or len(content) > _MAX_CONFIG:
        raise CommandError(f"the content of `{name[:100]}` was not sent with the command, or is too large")
    try:
        value = json.loads(content)
    except (ValueError, RecursionError):
        raise CommandError(f"`{name[:100]}` is not JSON") from None
    if not isinstance(value, dict):
        raise CommandError(f"`{name[:100]}` is not a JSON object of settings")
    return value


def _parse_setting(key: str, value: Any, rule: Mapping[str, Any]) -> Any:
    if rule["kind"] == "name":
        if isinstance(value, str) and _NAME.fullmatch(value):
            return value
        raise CommandError(f"`{key}` is the name of a {rule['of']}")
    try:
        number = int(value) if rule["kind"] == "integer" else float(value)
    except (TypeError, ValueError, OverflowError):
        raise CommandError(f"`{key}` is not a number") from None
    if not rule["least"] <= number <= rule["most"]:
        raise CommandError(f"`{key}` is between {rule['least']} and {rule['most']}")
    return number


def _format_time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


def _message(text: str, data: Mapping[str, Any] | None = None) -> Event:
    result = {"kind": "message", "message": text, "data": dict(data or {})}
    return {"event": "end", "state": "done", "result": result, "message": text}


def _table(columns: tuple[str, ...], rows: list[list[Any]], data: Mapping[str, Any] | None = None) -> Event:
    result = {"kind": "table", "message": "", "columns": list(columns), "rows": rows, "data": dict(data or {})}
    return {"event": "end", "state": "done", "result": result, "message": ""}
